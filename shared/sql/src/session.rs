//! A session that has the job's data sets and the functions on the list, and nothing else; and one statement run in it.

use std::{collections::HashSet, sync::Arc};

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Schema, SchemaRef};
use datafusion::{
    arrow::compute::cast,
    catalog::TableProvider,
    common::tree_node::TreeNodeRecursion,
    config::Dialect,
    execution::{
        SessionState, SessionStateBuilder, SessionStateDefaults,
        context::SQLOptions,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::FairSpillPool,
        runtime_env::RuntimeEnvBuilder,
    },
    logical_expr::{AggregateUDF, LogicalPlan, LogicalPlanBuilder, planner::ExprPlanner},
    optimizer::{Analyzer, AnalyzerRule},
    prelude::{SessionConfig, SessionContext},
    sql::{
        parser::Statement,
        sqlparser::{
            ast::{self, visit_expressions_mut},
            dialect::GenericDialect,
            parser::Parser,
        },
    },
};
use futures::StreamExt;
use willcall_core::{
    job::{
        ProblemType,
        kinds::{SqlValue, SqlWork},
    },
    query::{AGGREGATE_FUNCTIONS, SCALAR_FUNCTIONS, WINDOW_FUNCTIONS},
};
use willcall_engine::statement::{Table, written_schema};

use crate::{
    arithmetic::CheckArithmetic,
    child::{tell_reading, tell_records},
    failure::Failure,
    files::Parent,
    names::name_columns,
    numbers::{self, BesideDecimals, SettleNumbers},
    order::in_order,
    sum::CheckedSum,
    table::DatasetTable,
    wire::Job,
};

/// How a statement ended.
pub(crate) struct Ended {
    pub(crate) found: Option<u64>,
    pub(crate) more: bool,
}

/// Below this, the end of the result is told to the plan, which may then keep just the first records of an order in
/// memory, all at once.
const FEW: u64 = 100_000;

/// Runs the job's statement, and tells the parent its records.
pub(crate) async fn run(job: &Job, tables: Vec<Arc<Table>>, parent: &Arc<Parent>) -> Result<Ended, Failure> {
    let context = SessionContext::new_with_state(state(job)?);
    for (place, table) in tables.into_iter().enumerate() {
        let name = datafusion::common::TableReference::bare(table.name());
        let parent = Arc::clone(parent);
        let told = move |files: &[usize]| tell_reading(&parent, place, files);
        let table = DatasetTable(table, Arc::new(told));
        context.register_table(name, Arc::new(table) as Arc<dyn TableProvider>)?;
    }
    let state = context.state();
    let work = &job.work;
    let statement = statement(&state, work)?;
    let unplanned = |error| Failure::of_plan(error, &work.sql);
    let mut plan = state.statement_to_plan(statement).await.map_err(unplanned)?;
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)?;
    check(&plan, work)?;
    let needed = work.offset.saturating_add(work.cap());
    if needed < FEW {
        plan = LogicalPlanBuilder::from(plan).limit(0, Some(needed as usize + 1))?.build()?;
    }
    let plan = in_order(state.create_physical_plan(&plan).await.map_err(unplanned)?)?;
    let schema = written(&plan.schema())?;
    let mut stream = plan.execute(0, context.task_ctx())?;

    let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(Failure::defect)?;
    tell_records(parent, &std::mem::take(writer.get_mut()));
    let (mut skip, mut left, mut seen) = (work.offset, work.cap(), 0);
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        let rows = batch.num_rows() as u64;
        seen += rows;
        let first = skip.min(rows);
        skip -= first;
        let length = left.min(rows - first);
        left -= length;
        if length > 0 {
            let batch = in_types(&batch.slice(first as usize, length as usize), &schema)?;
            writer.write(&batch).map_err(Failure::defect)?;
            tell_records(parent, &std::mem::take(writer.get_mut()));
        }
        if seen > needed {
            return Ok(Ended { found: None, more: true });
        }
    }
    writer.finish().map_err(Failure::defect)?;
    tell_records(parent, &std::mem::take(writer.get_mut()));
    Ok(Ended { found: Some(seen), more: false })
}

/// A session with functions and operators, without files, formats, stores and tables of its own. One partition, so that
/// records come in one order whatever the number of cores: scans still decode on all of them.
fn state(job: &Job) -> Result<SessionState, Failure> {
    let mut config = SessionConfig::new()
        .with_information_schema(false)
        .with_target_partitions(1)
        .with_create_default_catalog_and_schema(true);
    let options = config.options_mut();
    options.sql_parser.dialect = Dialect::Generic;
    options.sql_parser.collect_spans = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![job.spill_dir.clone()]))
        .with_max_temp_directory_size(job.spill_limit.unwrap_or(u64::MAX));
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(job.pool)))
        .with_disk_manager_builder(disk)
        .build_arc()?;
    let allowed = |list: &[&'static str]| list.iter().copied().collect::<HashSet<&str>>();
    let (scalar, aggregate) = (allowed(&SCALAR_FUNCTIONS), allowed(&AGGREGATE_FUNCTIONS));
    let window = allowed(&WINDOW_FUNCTIONS);
    let fits = |list: &HashSet<&str>, name: &str, aliases: &[String]| {
        list.contains(name) || aliases.iter().any(|alias| list.contains(alias.as_str()))
    };
    let mut scalars = SessionStateDefaults::default_scalar_functions();
    scalars.retain(|function| fits(&scalar, function.name(), function.aliases()));
    scalars.push(Arc::new(numbers::function()));
    let mut aggregates = SessionStateDefaults::default_aggregate_functions();
    aggregates.retain(|function| fits(&aggregate, function.name(), function.aliases()));
    for sum in aggregates.iter_mut().filter(|function| function.name() == "sum") {
        *sum = Arc::new(AggregateUDF::new_from_impl(CheckedSum::default()));
    }
    let mut windows = SessionStateDefaults::default_window_functions();
    windows.retain(|function| {
        fits(&window, function.name(), function.aliases())
            || fits(&aggregate, function.name(), function.aliases())
    });
    let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(BesideDecimals)];
    planners.extend(SessionStateDefaults::default_expr_planners());
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(SettleNumbers)];
    rules.extend(Analyzer::new().rules);
    rules.push(Arc::new(CheckArithmetic));
    Ok(SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_analyzer_rules(rules)
        .with_expr_planners(planners)
        .with_scalar_functions(scalars)
        .with_aggregate_functions(aggregates)
        .with_window_functions(windows)
        .build())
}

/// The one query of the text, with literals where its placeholders were, and numbers as they are written.
fn statement(state: &SessionState, work: &SqlWork) -> Result<Statement, Failure> {
    let statement = state.sql_to_statement(&work.sql, &Dialect::Generic)?;
    let Statement::Statement(mut parsed) = statement else { return Err(not_a_query()) };
    if !matches!(&*parsed, ast::Statement::Query(_)) {
        return Err(not_a_query());
    }
    name_columns(&mut parsed);
    let replaced = visit_expressions_mut(&mut *parsed, |expression| {
        if let Some(number) = numbers::kept(expression) {
            *expression = number;
            return std::ops::ControlFlow::Continue(());
        }
        let ast::Expr::Value(value) = &*expression else { return std::ops::ControlFlow::Continue(()) };
        let ast::Value::Placeholder(name) = &value.value else {
            return std::ops::ControlFlow::Continue(());
        };
        let value = work.parameters.get(name.trim_start_matches('$'));
        match value.and_then(literal) {
            Some(literal) => {
                *expression = literal;
                std::ops::ControlFlow::Continue(())
            }
            None => std::ops::ControlFlow::Break(name.clone()),
        }
    });
    match replaced {
        std::ops::ControlFlow::Continue(()) => Ok(Statement::Statement(parsed)),
        std::ops::ControlFlow::Break(name) => {
            Err(Failure::new(ProblemType::InvalidRequest, format!("there is no value for {name}")))
        }
    }
}

/// The value as an expression of its type.
fn literal(value: &SqlValue) -> Option<ast::Expr> {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let of_type = |text: &str, data_type: &str| format!("CAST({} AS {data_type})", quoted(text));
    let text = match value {
        SqlValue::Null => "NULL".to_owned(),
        SqlValue::Boolean(value) => value.to_string(),
        SqlValue::Int64(number) if *number >= 0 => number.to_string(),
        SqlValue::Int64(number) => of_type(&number.to_string(), "BIGINT"),
        SqlValue::Float64(number) => of_type(&format!("{number:?}"), "DOUBLE"),
        SqlValue::Decimal(text) => {
            let scale = text.split_once('.').map_or(0, |(_, after)| after.len());
            let digits = text.bytes().filter(u8::is_ascii_digit).count();
            of_type(text, &format!("DECIMAL({}, {scale})", digits.max(scale).max(1)))
        }
        SqlValue::Text(text) => {
            let value = ast::Value::SingleQuotedString(text.clone());
            return Some(ast::Expr::Value(value.with_empty_span()));
        }
        SqlValue::Date(text) => of_type(text, "DATE"),
        SqlValue::Timestamp(text) if text.ends_with('Z') => of_type(text, "TIMESTAMP WITH TIME ZONE"),
        SqlValue::Timestamp(text) => of_type(text, "TIMESTAMP"),
    };
    Parser::new(&GenericDialect {}).try_with_sql(&text).ok()?.parse_expr().ok()
}

fn not_a_query() -> Failure {
    Failure::new(ProblemType::InvalidRequest, "a statement is one SELECT")
}

/// Fails unless the plan does nothing but read the job's data sets.
fn check(plan: &LogicalPlan, work: &SqlWork) -> Result<(), Failure> {
    let mut wrong = None;
    plan.apply_with_subqueries(|node| {
        let harmless = match node {
            LogicalPlan::TableScan(scan) => {
                scan.table_name.schema().is_none()
                    && work.datasets.iter().any(|name| name == scan.table_name.table())
                    || scan.table_name.table().is_empty()
            }
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Repartition(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Unnest(_) => true,
            _ => false,
        };
        if !harmless {
            wrong = Some(node.display().to_string());
        }
        Ok(if harmless { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    match wrong {
        None => Ok(()),
        Some(_) => Err(Failure::new(
            ProblemType::InvalidRequest,
            "the statement does something other than to read the data sets that it may read",
        )),
    }
}

/// The columns in the types in which results are written.
fn written(schema: &Schema) -> Result<SchemaRef, Failure> {
    let mut seen = HashSet::new();
    let fields = schema.fields().iter().map(|field| {
        let name = field.name();
        if !seen.insert(name) {
            return Err(Failure::new(
                ProblemType::InvalidRequest,
                format!("the result has several columns named {name:?}: name them apart with AS"),
            ));
        }
        let data_type = match field.data_type() {
            DataType::Null => DataType::Utf8,
            DataType::Interval(_) | DataType::Duration(_) | DataType::Union(..) => {
                return Err(Failure::new(
                    ProblemType::InvalidRequest,
                    format!(
                        "the column {name:?} of the result is of a type that results do not have: turn it into \
                         text or a number with CAST"
                    ),
                ));
            }
            other => other.clone(),
        };
        Ok(arrow_schema::Field::new(name, data_type, field.is_nullable() || field.data_type().is_null()))
    });
    let fields = fields.collect::<Result<Vec<_>, Failure>>()?;
    Ok(Arc::new(written_schema(&Schema::new(fields))))
}

fn in_types(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Failure> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        cast(column, field.data_type())
    });
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(Failure::defect)?;
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(Failure::defect)
}
