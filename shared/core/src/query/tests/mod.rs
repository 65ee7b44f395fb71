//! The three syntaxes against tables of good and bad texts, against each other, and against chance.

mod chance;
mod documented;
mod equivalence;
mod evaluate;
mod fixture;
mod lucene;
mod params;
mod print;
mod sql;
mod sql_errors;
mod stress;
mod typing;
