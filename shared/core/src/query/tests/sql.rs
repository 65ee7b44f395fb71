//! SQL expressions, good and bad.

use super::fixture::columns;
use crate::query::{CompareOp::*, Filter, Literal, Operand, parse_sql};

fn column(name: &str) -> Operand {
    Operand::Column(name.into())
}

#[test]
fn a_comparison_is_typed() {
    let filter = parse_sql("ORIGIN = 'JFK'", &columns()).unwrap();
    assert_eq!(
        filter,
        Filter::Compare { left: column("origin"), op: Eq, right: Literal::Text("JFK".into()) }
    );
}
