//! What the columns of a result are called.

use sqlparser::ast::Expr;

/// The most characters of a name that is made of an expression.
const MOST: usize = 63;

/// The name of a column that is given none with AS, where it is no other column as it is: the expression as it is written, with
/// its placeholders and not what they stand for, in the spelling of the parser and cut where it is long.
pub fn name_without_as(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => None,
        Expr::Nested(inner) => name_without_as(inner),
        other => Some(other.to_string().chars().take(MOST).collect()),
    }
}
