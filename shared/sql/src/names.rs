//! Columns without AS, which get a name before anything is put in place of what is written.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, Statement, VisitMut, VisitorMut,
};
use willcall_core::query::name_without_as;

/// Names every column of every SELECT that is an expression and has no name: after the expression, so that neither values of
/// parameters nor the plan change it.
pub(crate) fn name_columns(statement: &mut Statement) {
    let _: ControlFlow<()> = statement.visit(&mut Naming);
}

fn name_of(expr: &Expr) -> Option<Ident> {
    name_without_as(expr).map(|name| Ident::with_quote('"', name))
}

struct Naming;

impl VisitorMut for Naming {
    type Break = ();

    /// Under DISTINCT, an order by an expression is one by the column that it makes: DataFusion does not see that once the
    /// column has a name.
    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = &*query.body else { return ControlFlow::Continue(()) };
        let Some(order) = &mut query.order_by else { return ControlFlow::Continue(()) };
        let (Some(Distinct::Distinct), OrderByKind::Expressions(by)) = (&select.distinct, &mut order.kind)
        else {
            return ControlFlow::Continue(());
        };
        for by in by {
            let written = by.expr.to_string();
            let made = select
                .projection
                .iter()
                .any(|item| matches!(item, SelectItem::UnnamedExpr(column) if column.to_string() == written));
            if let Some(name) = name_of(&by.expr).filter(|_| made) {
                by.expr = Expr::Identifier(name);
            }
        }
        ControlFlow::Continue(())
    }

    /// Before what is in it: the name is the text without the names that are made here.
    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            let SelectItem::UnnamedExpr(expr) = item else { continue };
            if let Some(alias) = name_of(expr) {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }
}
