//! The three syntaxes against tables of good and bad texts, against each other, and against chance.

mod fixture;
mod sql;
