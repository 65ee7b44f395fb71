//! The same question in the three syntaxes.

use super::fixture::columns;
use crate::query::{Filter, parse_lucene, parse_param, parse_sql};

#[test]
fn the_same_question_has_one_canonical_filter() {
    type Question = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
    let questions: &[Question] = &[
        ("origin = 'JFK'", "origin:JFK", &[("origin", "JFK")]),
        ("origin = 'JFK' AND i64 > 60", "origin:JFK AND i64:>60", &[("i64.gt", "60"), ("origin.eq", "JFK")]),
        ("i8 BETWEEN 1 AND 5", "i8:[1 TO 5]", &[("i8.gte", "1"), ("i8.lte", "5")]),
        ("i8 > 2.5", "i8:{2.5 TO *]", &[("i8.gt", "2.5")]),
        ("country IN ('FI', 'SE')", "Country:(SE OR FI)", &[("Country.in", "FI,SE")]),
        ("country = 'SE' OR country = 'FI'", "Country:IN [FI SE FI]", &[("Country.in", "SE,FI")]),
        ("name LIKE 'test%'", "name:test*", &[("name.prefix", "test")]),
        ("name LIKE '50\\%%'", "name:50%*", &[("name.prefix", "50%")]),
        ("i8 IS NULL", "NOT i8:*", &[("i8.null", "true")]),
        ("i8 IS NOT NULL", "i8:*", &[("i8.null", "false")]),
        ("seen >= '2013-01-01'", "seen:[2013-01-01 TO *]", &[("seen.gte", "2013-01-01T00:00:00Z")]),
        ("price = 2.50", "price:2.5", &[("price", "2.500")]),
        ("flag", "flag:true", &[("flag", "true")]),
        ("f64 = 'NaN'", "f64:NaN", &[("f64", "NaN")]),
    ];
    for (sql, lucene, params) in questions {
        let columns = columns();
        let sql = parse_sql(sql, &columns).unwrap();
        let lucene = parse_lucene(lucene, &columns).unwrap();
        let params = params.iter().map(|(name, value)| parse_param(name, value, &columns).unwrap()).collect();
        let params = Filter::all(params).canonical();
        let stored = |filter: &Filter| serde_json::to_string(filter).unwrap();
        assert_eq!(stored(&sql), stored(&lucene));
        assert_eq!(stored(&sql), stored(&params));
    }
}

#[test]
fn negation_is_each_syntaxs_own() {
    let columns = columns();
    let sql = parse_sql("NOT origin = 'JFK'", &columns).unwrap();
    let lucene = parse_lucene("NOT origin:JFK", &columns).unwrap();
    assert_eq!(sql, parse_param("origin.ne", "JFK", &columns).unwrap());
    assert_eq!(lucene, parse_sql("origin IS DISTINCT FROM 'JFK'", &columns).unwrap());
    assert_ne!(sql, lucene);
}
