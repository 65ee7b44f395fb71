//! Keeps the order of records: where DataFusion takes several streams as they come, they are taken one after the other.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
        coalesce_partitions::CoalescePartitionsExec,
        execution_plan::EmissionType,
        limit::LimitStream,
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet},
        repartition::RepartitionExec,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream};

/// The plan with every place where streams race made one where they queue.
pub(crate) fn in_order(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let done = plan.transform_up(|node| {
        let many = |input: &Arc<dyn ExecutionPlan>| input.output_partitioning().partition_count() > 1;
        if let Some(coalesce) = node.downcast_ref::<CoalescePartitionsExec>() {
            if many(coalesce.input()) {
                let one = InOrder::new(Arc::clone(coalesce.input()), coalesce.fetch());
                return Ok(Transformed::yes(Arc::new(one) as _));
            }
        } else if let Some(repartition) = node.downcast_ref::<RepartitionExec>()
            && repartition.partitioning().partition_count() == 1
        {
            let one = InOrder::new(Arc::clone(repartition.input()), None);
            return Ok(Transformed::yes(Arc::new(one) as _));
        }
        Ok(Transformed::no(node))
    })?;
    let plan = done.data;
    Ok(if plan.output_partitioning().partition_count() > 1 {
        Arc::new(InOrder::new(plan, None))
    } else {
        plan
    })
}

/// Several streams one after the other.
#[derive(Debug)]
struct InOrder {
    input: Arc<dyn ExecutionPlan>,
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
}

impl InOrder {
    fn new(input: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            input.boundedness(),
        );
        Self { input, fetch, properties: Arc::new(properties) }
    }
}

impl DisplayAs for InOrder {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InOrder")
    }
}

impl ExecutionPlan for InOrder {
    fn name(&self) -> &str {
        "InOrder"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(children.swap_remove(0), self.fetch)))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = Arc::clone(&self.input);
        let count = input.output_partitioning().partition_count();
        let schema = input.schema();
        let parts =
            stream::iter(0..count).map(move |part| input.execute(part, Arc::clone(&context))).try_flatten();
        let all: SendableRecordBatchStream =
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), parts));
        let metrics = BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
        Ok(match self.fetch {
            Some(fetch) => Box::pin(LimitStream::new(all, 0, Some(fetch), metrics)),
            None => all,
        })
    }
}
