//! The name that somebody probably meant.

/// Longer names are not compared: nobody misspells them by hand, and the cost grows with the square.
const LONGEST: usize = 100;

/// The one of `among` that is nearest to `wanted`, if it is near: at most a third of the letters differ, whatever
/// their case. Of two equally near, the first.
pub fn nearest<'a>(wanted: &str, among: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = wanted.chars().count();
    if length > LONGEST {
        return None;
    }
    let wanted = wanted.to_lowercase();
    let allowed = if length < 2 { 0 } else { (length / 3).max(1) };
    among
        .into_iter()
        .filter(|name| name.chars().count().abs_diff(length) <= allowed)
        .map(|name| (strsim::damerau_levenshtein(&wanted, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_find_their_neighbour() {
        let names = ["origin", "dest", "dep_delay", "arr_delay", "year", "a"];
        for (wanted, found) in [
            ("orgin", Some("origin")),
            ("ORIGIN", Some("origin")),
            ("dep_dealy", Some("dep_delay")),
            ("arr_dely", Some("arr_delay")),
            ("yaer", Some("year")),
            ("", None),
            ("passengers", None),
            ("x", None),
            ("z", None),
        ] {
            assert_eq!(nearest(wanted, names), found, "{wanted}");
        }
        assert_eq!(nearest(&"o".repeat(100_000), names), None);
    }
}
