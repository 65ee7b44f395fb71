//! Data sets as DataFusion's tables.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DataFusionError, Result, Statistics, stats::Precision, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::stream;
use tokio::sync::mpsc::{Receiver, channel};
use willcall_core::{ports::ExecuteError, query::Filter};
use willcall_engine::statement::Table;

use crate::pushdown;

/// Batches that wait for DataFusion.
const WAITING: usize = 2;

/// Hears which files are read, once a scan has begun.
pub(crate) type Told = Arc<dyn Fn(&[usize]) + Send + Sync>;

/// A data set that statements name.
pub(crate) struct DatasetTable(pub(crate) Arc<Table>, pub(crate) Told);

impl std::fmt::Debug for DatasetTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

#[async_trait]
impl TableProvider for DatasetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.0.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let each = |filter: &&Expr| match pushdown::one(&self.0, filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(each).collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(statistics(&self.0, self.0.schema()))
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = projection.cloned().unwrap_or_else(|| (0..self.0.schema().fields().len()).collect());
        let schema: SchemaRef = Arc::new(self.0.schema().project(&columns)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(ScanExec {
            table: Arc::clone(&self.0),
            told: Arc::clone(&self.1),
            filter: pushdown::filter_of(&self.0, filters),
            columns,
            schema,
            properties: Arc::new(properties),
        }))
    }
}

/// What is known without reading: of files that may have changed since, so never exact.
fn statistics(table: &Table, schema: &Schema) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    if let Some(records) = table.records() {
        statistics.num_rows = Precision::Inexact(usize::try_from(records).unwrap_or(usize::MAX));
    }
    statistics.total_byte_size = Precision::Inexact(usize::try_from(table.bytes()).unwrap_or(usize::MAX));
    statistics
}

/// Reads a data set in the order of its records.
struct ScanExec {
    table: Arc<Table>,
    told: Told,
    columns: Vec<usize>,
    filter: Option<Filter>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl std::fmt::Debug for ScanExec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scan({})", self.table.name())
    }
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scan({})", self.table.name())
    }
}

impl ExecutionPlan for ScanExec {
    fn name(&self) -> &str {
        "Scan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>> {
        Ok(Arc::new(statistics(&self.table, &self.schema)))
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let start = Start {
            table: Arc::clone(&self.table),
            told: Arc::clone(&self.told),
            columns: self.columns.clone(),
            filter: self.filter.clone(),
        };
        // Begun when the first batch is asked for: what waits behind a join's other side holds nothing.
        let batches = stream::try_unfold(State::New(start), |state| async move {
            let mut batches = match state {
                State::New(start) => begin(start)?,
                State::Running(batches) => batches,
            };
            match batches.recv().await {
                Some(Ok(batch)) => Ok(Some((batch, State::Running(batches)))),
                Some(Err(error)) => Err(DataFusionError::External(Box::new(error))),
                None => Ok(None),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}

type Batches = Receiver<std::result::Result<arrow_array::RecordBatch, ExecuteError>>;

struct Start {
    table: Arc<Table>,
    told: Told,
    columns: Vec<usize>,
    filter: Option<Filter>,
}

enum State {
    New(Start),
    Running(Batches),
}

fn begin(start: Start) -> Result<Batches> {
    let (sender, batches) = channel(WAITING);
    let read = move || {
        let Start { table, told, columns, filter } = start;
        let each = |batch| sender.blocking_send(Ok(batch)).map_err(|_| ExecuteError::Cancelled);
        if let Err(error) = table.read(&columns, filter, |files| told(files), each) {
            // Nobody waits for it where the statement has all that it wants.
            let _ = sender.blocking_send(Err(error));
        }
    };
    std::thread::Builder::new().name("scan".into()).spawn(read).map_err(DataFusionError::IoError)?;
    Ok(batches)
}
