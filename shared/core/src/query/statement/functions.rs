//! The functions that a statement may call. What is not here is not called: nothing that tells of the host, reads the
//! clock or chance, makes rows of nothing, or makes much of little.

/// What a function works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FunctionClass {
    /// One value for one record.
    Scalar,
    /// One value for many records, or over a window of them.
    Aggregate,
    /// A value over a window only.
    Window,
}

/// Functions of one record.
pub const SCALAR_FUNCTIONS: [&str; 85] = [
    "abs",
    "acos",
    "acosh",
    "ascii",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bit_length",
    "btrim",
    "cbrt",
    "ceil",
    "char_length",
    "character_length",
    "chr",
    "coalesce",
    "concat",
    "concat_ws",
    "contains",
    "cos",
    "cosh",
    "cot",
    "date_bin",
    "date_part",
    "date_trunc",
    "datepart",
    "datetrunc",
    "degrees",
    "ends_with",
    "exp",
    "find_in_set",
    "floor",
    "gcd",
    "greatest",
    "ifnull",
    "initcap",
    "isnan",
    "iszero",
    "lcm",
    "least",
    "left",
    "length",
    "levenshtein",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "make_date",
    "mod",
    "nanvl",
    "nullif",
    "nvl",
    "nvl2",
    "octet_length",
    "pi",
    "position",
    "pow",
    "power",
    "radians",
    "replace",
    "reverse",
    "right",
    "round",
    "rtrim",
    "sign",
    "signum",
    "sin",
    "sinh",
    "split_part",
    "sqrt",
    "starts_with",
    "strpos",
    "substr",
    "substr_index",
    "substring",
    "tan",
    "tanh",
    "to_hex",
    "translate",
    "trim",
    "trunc",
    "upper",
];

/// Functions that make one value of many records, or of a window of them.
pub const AGGREGATE_FUNCTIONS: [&str; 33] = [
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar",
    "covar_pop",
    "covar_samp",
    "first_value",
    "last_value",
    "max",
    "mean",
    "median",
    "min",
    "nth_value",
    "percentile_cont",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "sum",
    "var",
    "var_pop",
    "var_samp",
    "string_agg",
];

/// Functions over a window only.
pub const WINDOW_FUNCTIONS: [&str; 8] =
    ["cume_dist", "dense_rank", "lag", "lead", "ntile", "percent_rank", "rank", "row_number"];

/// What the function of that name, as the engine reads it, works on; `None` where there is none to be called.
pub(super) fn class_of(name: &str) -> Option<FunctionClass> {
    let classes = [
        (&SCALAR_FUNCTIONS[..], FunctionClass::Scalar),
        (&AGGREGATE_FUNCTIONS[..], FunctionClass::Aggregate),
        (&WINDOW_FUNCTIONS[..], FunctionClass::Window),
    ];
    classes.into_iter().find(|(names, _)| names.contains(&name)).map(|(_, class)| class)
}

/// Why a function that people ask for is not called; `None` for one that nobody knows.
pub(super) fn why_not(name: &str) -> Option<&'static str> {
    Some(match name {
        "now" | "today" | "current_date" | "current_time" | "current_timestamp" | "localtime"
        | "localtimestamp" | "random" | "rand" | "uuid" | "gen_random_uuid" => {
            "it gives another value each time; pass the value as a parameter"
        }
        "repeat" | "lpad" | "rpad" | "array_repeat" | "array_agg" | "generate_series" | "range"
        | "unnest" | "make_array" | "regexp_replace" | "regexp_match" => "what it makes has no bound",
        "version" | "current_user" | "session_user" | "user" | "current_setting" | "current_catalog"
        | "input_file_name" => "it tells of the host and not of the data",
        _ => return None,
    })
}

/// Every function.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    SCALAR_FUNCTIONS.into_iter().chain(AGGREGATE_FUNCTIONS).chain(WINDOW_FUNCTIONS)
}
