//! The walk over queries: what they read, and by which clauses.
//!
//! Every member of what may pass is named here, without a rest, so that one that a later parser adds does not compile unseen.

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::{
    ast::{
        Cte, Distinct, Expr, GroupByExpr, Ident, LimitClause, NamedWindowExpr, ObjectName, ObjectNamePart,
        OrderBy, OrderByExpr, OrderByKind, Query, Select, SelectFlavor, SelectItem,
        SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, Spanned,
        WildcardAdditionalOptions, WindowSpec, With,
    },
    tokenizer::Span,
};

use super::{
    MAX_STATEMENT_RELATIONS, MOST_ERRORS, Statement, columns::name_without_as, place::Place, scope::Scope,
    words::Words,
};
use crate::query::{SyntaxError, error::quoted};

/// A walk over a statement.
pub(super) struct Walk<'a> {
    pub(super) words: &'a Words,
    pub(super) allowed: &'a BTreeSet<&'a str>,
    /// Where the walk is, as far as anything there says it.
    here: Place,
    pub(super) placeholders: BTreeMap<String, usize>,
    pub(super) datasets: BTreeSet<String>,
    errors: Vec<SyntaxError>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(words: &'a Words, allowed: &'a BTreeSet<&'a str>) -> Self {
        Self {
            words,
            allowed,
            here: words.place_of(&["SELECT", "WITH"]).unwrap_or_else(|| words.lines.at(0)),
            placeholders: BTreeMap::new(),
            datasets: BTreeSet::new(),
            errors: Vec::new(),
        }
    }

    pub(super) fn statement(&mut self, query: &Query) {
        let relations = self.query(query, &Scope::default());
        if relations > MAX_STATEMENT_RELATIONS {
            self.errors.push(SyntaxError::whole(format!(
                "the statement reads {} tables and sub-queries, more than the {MAX_STATEMENT_RELATIONS} allowed; what \
                 WITH names counts wherever it is used",
                if relations >= usize::from(u16::MAX) { "countless".to_owned() } else { relations.to_string() }
            )));
        }
    }

    pub(super) fn finish(mut self) -> Result<Statement, Vec<SyntaxError>> {
        if !self.errors.is_empty() {
            self.errors.sort_by_key(|error| error.offset);
            self.errors.dedup();
            self.errors.truncate(MOST_ERRORS);
            return Err(self.errors);
        }
        Ok(Statement { datasets: self.datasets.into_iter().collect(), placeholders: self.placeholders })
    }

    /// Moves to a place, where the parser knows it.
    pub(super) fn go(&mut self, span: Span) -> Place {
        if span.start.line > 0 {
            self.here = self.words.lines.place(span.start);
        }
        self.here
    }

    pub(super) fn wrong(&mut self, error: SyntaxError) {
        self.errors.push(error);
    }

    /// A part of SQL that statements lack, at the first of these words or, where there is none, at the place of the walk.
    pub(super) fn lacking(&mut self, what: &str, words: &[&str]) {
        let place = self.words.place_of(words).unwrap_or(self.here);
        self.wrong(place.sentence(format_args!("{what} not supported in a statement")));
    }

    /// How many relations a query reads.
    pub(super) fn query(&mut self, query: &Query, outer: &Scope) -> usize {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        let mut scope = outer.clone();
        if let Some(with) = with {
            self.with(with, &mut scope);
        }
        let mut relations = self.body(body, &scope);
        if let Some(order) = order_by {
            relations += self.order_by(order, &scope);
        }
        match limit_clause {
            None => {}
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
                let offset = offset.as_ref().map(|offset| &offset.value);
                relations += self.expressions(limit.iter().chain(offset), &scope);
                if !limit_by.is_empty() {
                    self.lacking("LIMIT BY is", &["LIMIT"]);
                }
            }
            Some(_) => self.lacking("LIMIT with a comma is", &["LIMIT"]),
        }
        for (found, what, words) in [
            (fetch.is_some(), "FETCH is", &["FETCH"][..]),
            (!locks.is_empty(), "FOR UPDATE and other locks are", &["FOR"]),
            (for_clause.is_some(), "FOR is", &["FOR"]),
            (settings.is_some(), "SETTINGS is", &["SETTINGS"]),
            (format_clause.is_some(), "FORMAT is", &["FORMAT"]),
            (!pipe_operators.is_empty(), "the operator |> is", &[]),
        ] {
            if found {
                self.lacking(what, words);
            }
        }
        relations.min(usize::from(u16::MAX))
    }

    fn with(&mut self, with: &With, scope: &mut Scope) {
        let With { with_token: _, recursive, cte_tables } = with;
        if *recursive {
            self.lacking("WITH RECURSIVE is", &["RECURSIVE"]);
            return;
        }
        for cte in cte_tables {
            let Cte { alias, query, from, materialized, closing_paren_token: _ } = cte;
            if from.is_some() || materialized.is_some() {
                self.go(alias.name.span);
                self.lacking("MATERIALIZED and FROM after a common table are", &[]);
            }
            let relations = self.query(query, scope);
            let name = name_of(&alias.name);
            let place = self.go(alias.name.span);
            if scope.names().any(|known| known == name) {
                let name = quoted(&name);
                self.wrong(place.sentence(format_args!("there is a common table {name} already")));
            }
            self.alias(Some(alias));
            scope.add(name, relations);
        }
    }

    fn body(&mut self, body: &SetExpr, scope: &Scope) -> usize {
        match body {
            SetExpr::Select(select) => self.select(select, scope),
            SetExpr::Query(query) => self.query(query, scope),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                match (op, set_quantifier) {
                    (
                        SetOperator::Union | SetOperator::Except | SetOperator::Intersect,
                        SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None,
                    ) => {}
                    _ => self.lacking("MINUS and BY NAME are", &["MINUS", "NAME"]),
                }
                self.body(left, scope) + self.body(right, scope)
            }
            SetExpr::Values(_) => {
                self.lacking("VALUES is", &["VALUES"]);
                0
            }
            SetExpr::Table(_) => {
                self.lacking("TABLE is", &["TABLE"]);
                0
            }
            _ => {
                self.lacking(
                    "everything but reading is",
                    &["INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "TRUNCATE"],
                );
                0
            }
        }
    }

    fn select(&mut self, select: &Select, scope: &Scope) -> usize {
        let Select {
            select_token,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        self.go(select_token.0.span);
        for (found, what, words) in [
            (!optimizer_hints.is_empty(), "hints are", &[][..]),
            (select_modifiers.is_some(), "words between SELECT and the columns are", &[]),
            (top.is_some(), "TOP is", &["TOP"]),
            (exclude.is_some(), "EXCLUDE after the columns is", &["EXCLUDE"]),
            (into.is_some(), "INTO is", &["INTO"]),
            (!lateral_views.is_empty(), "LATERAL is", &["LATERAL"]),
            (prewhere.is_some(), "PREWHERE is", &["PREWHERE"]),
            (!connect_by.is_empty(), "CONNECT BY is", &["CONNECT", "START"]),
            (!cluster_by.is_empty(), "CLUSTER BY is", &["CLUSTER"]),
            (!distribute_by.is_empty(), "DISTRIBUTE BY is", &["DISTRIBUTE"]),
            (!sort_by.is_empty(), "SORT BY is", &["SORT"]),
            (value_table_mode.is_some(), "AS STRUCT and AS VALUE are", &[]),
            (*flavor != SelectFlavor::Standard, "FROM before SELECT is", &["FROM"]),
        ] {
            if found {
                self.lacking(what, words);
            }
        }
        let mut relations = 1;
        for table in from {
            relations += self.table(table, scope);
        }
        match distinct {
            None | Some(Distinct::Distinct | Distinct::All) => {}
            Some(Distinct::On(on)) => relations += self.expressions(on, scope),
        }
        self.names(projection);
        for item in projection {
            relations += self.item(item, scope);
        }
        relations += self.expressions(selection.iter().chain(having).chain(qualify), scope);
        match group_by {
            GroupByExpr::Expressions(by, modifiers) => {
                relations += self.expressions(by, scope);
                if !modifiers.is_empty() {
                    self.lacking("ROLLUP, CUBE and the like are", &["GROUP"]);
                }
            }
            GroupByExpr::All(_) => self.lacking("GROUP BY ALL is", &["GROUP"]),
        }
        for window in named_window {
            let (name, window) = (&window.0, &window.1);
            self.go(name.span);
            match window {
                NamedWindowExpr::NamedWindow(_) => {}
                NamedWindowExpr::WindowSpec(spec) => relations += self.window(spec, scope),
            }
        }
        relations
    }

    /// Two columns of one name are refused where the text alone tells that they are two.
    fn names(&mut self, projection: &[SelectItem]) {
        let mut seen = BTreeSet::new();
        for item in projection {
            let (name, span) = match item {
                SelectItem::UnnamedExpr(expr) => match name_without_as(expr) {
                    Some(name) => (name, expr.span()),
                    None => continue,
                },
                SelectItem::ExprWithAlias { expr: _, alias } => (name_of(alias), alias.span),
                _ => continue,
            };
            let place = self.go(span);
            let told = quoted(&name);
            if !seen.insert(name) {
                let detail = format_args!("there are two columns {told}: name them apart with AS");
                self.wrong(place.sentence(detail));
            }
        }
    }

    fn item(&mut self, item: &SelectItem, scope: &Scope) -> usize {
        match item {
            SelectItem::UnnamedExpr(expr) => self.expressions([expr], scope),
            SelectItem::ExprWithAlias { expr, alias: _ } => self.expressions([expr], scope),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(_), options)
            | SelectItem::Wildcard(options) => {
                self.wildcard(options);
                0
            }
            _ => {
                self.lacking("such a column is", &[]);
                0
            }
        }
    }

    fn wildcard(&mut self, options: &WildcardAdditionalOptions) {
        let WildcardAdditionalOptions {
            wildcard_token,
            opt_ilike,
            // Both are names of columns and nothing else.
            opt_exclude: _,
            opt_except: _,
            opt_replace,
            opt_rename,
            opt_alias,
        } = options;
        self.go(wildcard_token.0.span);
        if opt_ilike.is_some() || opt_replace.is_some() || opt_rename.is_some() || opt_alias.is_some() {
            self.lacking("words after *, but EXCLUDE and EXCEPT, are", &[]);
        }
    }

    fn order_by(&mut self, order: &OrderBy, scope: &Scope) -> usize {
        let OrderBy { kind, interpolate } = order;
        if interpolate.is_some() {
            self.lacking("INTERPOLATE is", &["INTERPOLATE"]);
        }
        match kind {
            OrderByKind::Expressions(by) => self.order(by, scope),
            OrderByKind::All(_) => {
                self.lacking("ORDER BY ALL is", &["ORDER"]);
                0
            }
        }
    }

    pub(super) fn order(&mut self, by: &[OrderByExpr], scope: &Scope) -> usize {
        let mut relations = 0;
        for OrderByExpr { expr, options: _, with_fill } in by {
            if with_fill.is_some() {
                self.lacking("WITH FILL is", &["FILL"]);
            }
            relations += self.expressions([expr], scope);
        }
        relations
    }

    pub(super) fn window(&mut self, spec: &WindowSpec, scope: &Scope) -> usize {
        use sqlparser::ast::{WindowFrame, WindowFrameBound};
        let WindowSpec { window_name: _, partition_by, order_by, window_frame } = spec;
        let mut relations = self.expressions(partition_by, scope) + self.order(order_by, scope);
        if let Some(WindowFrame { units: _, start_bound, end_bound }) = window_frame {
            for bound in std::iter::once(start_bound).chain(end_bound) {
                match bound {
                    WindowFrameBound::CurrentRow => {}
                    WindowFrameBound::Preceding(by) | WindowFrameBound::Following(by) => {
                        relations += self.expressions(by.iter().map(|by| &**by), scope);
                    }
                }
            }
        }
        relations
    }

    /// How many relations the sub-queries of these expressions read.
    pub(super) fn expressions<'e>(
        &mut self,
        all: impl IntoIterator<Item = &'e Expr>,
        scope: &Scope,
    ) -> usize {
        let mut relations = 0;
        // A list and no recursion: chains of operators are trees as deep as they are long.
        let mut left: Vec<&Expr> = all.into_iter().collect();
        while let Some(expr) = left.pop() {
            relations += self.expression(expr, &mut left, scope);
        }
        relations
    }
}

/// The name as the engine reads it: in lower case but in quotes.
pub(super) fn name_of(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

/// Where a name begins.
pub(super) fn start_of(name: &ObjectName) -> Span {
    match name.0.first() {
        Some(ObjectNamePart::Identifier(ident)) => ident.span,
        _ => Span::empty(),
    }
}
