//! The walk over what stands after FROM: data sets, common tables, sub-queries and joins.

use sqlparser::ast::{
    Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, TableAlias, TableFactor, TableWithJoins,
};

use super::{
    relations::{Walk, name_of, start_of},
    scope::Scope,
};
use crate::query::{error::quoted, nearest};

impl Walk<'_> {
    pub(super) fn table(&mut self, table: &TableWithJoins, scope: &Scope) -> usize {
        let TableWithJoins { relation, joins } = table;
        let mut relations = self.factor(relation, scope);
        for join in joins {
            let Join { relation, global, join_operator } = join;
            relations += self.factor(relation, scope);
            if *global {
                self.lacking("GLOBAL is", &["GLOBAL"]);
            }
            relations += match join_operator {
                JoinOperator::Join(how)
                | JoinOperator::Inner(how)
                | JoinOperator::Left(how)
                | JoinOperator::LeftOuter(how)
                | JoinOperator::Right(how)
                | JoinOperator::RightOuter(how)
                | JoinOperator::FullOuter(how)
                | JoinOperator::CrossJoin(how)
                | JoinOperator::LeftSemi(how)
                | JoinOperator::RightSemi(how)
                | JoinOperator::LeftAnti(how)
                | JoinOperator::RightAnti(how) => match how {
                    JoinConstraint::On(condition) => self.expressions([condition], scope),
                    JoinConstraint::Using(_) | JoinConstraint::Natural | JoinConstraint::None => 0,
                },
                _ => {
                    self.lacking(
                        "joins but INNER, LEFT, RIGHT, FULL, CROSS, SEMI and ANTI are",
                        &["ASOF", "APPLY"],
                    );
                    0
                }
            };
        }
        relations
    }

    fn factor(&mut self, factor: &TableFactor, scope: &Scope) -> usize {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                self.alias(alias.as_ref());
                if args.is_some() {
                    self.go(start_of(name));
                    self.lacking("functions in place of a table are", &[]);
                    return 1;
                }
                let more = !with_hints.is_empty()
                    || version.is_some()
                    || *with_ordinality
                    || !partitions.is_empty()
                    || json_path.is_some()
                    || sample.is_some()
                    || !index_hints.is_empty();
                if more {
                    self.go(start_of(name));
                    self.lacking("words after a table's name, but an alias, are", &[]);
                }
                self.named(name, scope)
            }
            TableFactor::Derived { lateral, subquery, alias, sample } => {
                self.alias(alias.as_ref());
                if *lateral {
                    self.lacking("LATERAL is", &["LATERAL"]);
                }
                if sample.is_some() {
                    self.lacking("TABLESAMPLE is", &["TABLESAMPLE", "SAMPLE"]);
                }
                self.query(subquery, scope)
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                self.alias(alias.as_ref());
                self.table(table_with_joins, scope)
            }
            TableFactor::UNNEST { .. } => {
                self.lacking("UNNEST is", &["UNNEST"]);
                0
            }
            TableFactor::TableFunction { .. } | TableFactor::Function { .. } => {
                self.lacking("functions in place of a table are", &["LATERAL", "TABLE"]);
                0
            }
            _ => {
                self.lacking(
                    "PIVOT and other words in place of a table are",
                    &[
                        "PIVOT",
                        "UNPIVOT",
                        "MATCH_RECOGNIZE",
                        "JSON_TABLE",
                        "OPENJSON",
                        "XMLTABLE",
                        "SEMANTIC_VIEW",
                    ],
                );
                0
            }
        }
    }

    /// A table by its name: a common table in reach, or else a data set.
    fn named(&mut self, name: &ObjectName, scope: &Scope) -> usize {
        let place = self.go(start_of(name));
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
            self.wrong(place.sentence("a data set has one name, without a schema or a catalog before it"));
            return 1;
        };
        if !matches!(ident.quote_style, None | Some('"')) {
            // The parser does not tell where it is.
            let place = self.words.place_of_text(&ident.value).unwrap_or(place);
            let error = place.sentence("a text is no data set, and no file is read");
            self.wrong(error.advise("a name stands in double quotes, or without any"));
            return 1;
        }
        let wanted = name_of(ident);
        if let Some(relations) = scope.find(&wanted) {
            return relations;
        }
        if self.allowed.contains(wanted.as_str()) {
            self.datasets.insert(wanted);
            return 1;
        }
        let error = place.at(format_args!("there is no data set {}", quoted(&wanted)));
        let near = nearest(&wanted, scope.names().chain(self.allowed.iter().copied()));
        let error = match near {
            // It differs in case alone, and was not in quotes.
            Some(near) if near != wanted && near.to_ascii_lowercase() == wanted => {
                error.advise(format_args!("write {near:?}, in double quotes"))
            }
            Some(near) => error.advise(format_args!("did you mean {}?", quoted(near))),
            None => error,
        };
        self.wrong(error);
        1
    }

    pub(super) fn alias(&mut self, alias: Option<&TableAlias>) {
        let Some(TableAlias { explicit: _, name, columns, at }) = alias else { return };
        if at.is_some() || columns.iter().any(|column| column.data_type.is_some()) {
            self.go(name.span);
            self.lacking("types and AT in an alias are", &[]);
        }
    }
}
