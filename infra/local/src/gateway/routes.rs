//! Which route takes a request.

use percent_encoding::percent_decode_str;

use crate::deployment::{RoutePath, RouteSpec, Segment};

/// The route that takes a request, and what its path's variables stand for.
pub(super) type Found<'a> = (&'a RouteSpec, Vec<(String, String)>);

/// The route that fits best: fixed segments before variables, variables before greedy ones, a method before any, and
/// `$default` last.
pub(super) fn find<'a>(routes: &'a [RouteSpec], method: &str, path: &str) -> Option<Found<'a>> {
    let best = routes
        .iter()
        .filter(|route| route.method.as_deref().is_none_or(|known| known == method))
        .filter_map(|route| Some((rank(route), route, variables(&route.path, path)?)))
        .max_by(|(left, ..), (right, ..)| left.cmp(right));
    best.map(|(_, route, variables)| (route, variables))
}

/// Larger is more specific; segments count from the left.
fn rank(route: &RouteSpec) -> (Vec<u8>, bool) {
    let segments = match &route.path {
        RoutePath::Default => Vec::new(),
        RoutePath::Segments(segments) => segments
            .iter()
            .map(|segment| match segment {
                Segment::Fixed(_) => 3,
                Segment::Variable(_) => 2,
                Segment::Greedy(_) => 1,
            })
            .collect(),
    };
    (segments, route.method.is_some())
}

/// What the variables stand for, if the route takes the path.
fn variables(route: &RoutePath, path: &str) -> Option<Vec<(String, String)>> {
    let RoutePath::Segments(segments) = route else { return Some(Vec::new()) };
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut rest = Some(path.strip_prefix('/')?);
    let mut variables = Vec::new();
    for segment in segments {
        let left = rest?;
        let (part, next) = match left.split_once('/') {
            Some((part, next)) => (part, Some(next)),
            None => (left, None),
        };
        match segment {
            Segment::Fixed(text) if *text == decode(part) => rest = next,
            Segment::Variable(name) if !part.is_empty() => {
                variables.push((name.clone(), decode(part)));
                rest = next;
            }
            Segment::Greedy(name) if !left.is_empty() => {
                variables.push((name.clone(), decode(left)));
                rest = None;
            }
            _ => return None,
        }
    }
    rest.is_none().then_some(variables)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn routes(keys: &[&str]) -> Vec<RouteSpec> {
        keys.iter()
            .map(|key| {
                let (method, path) = match key.split_once(' ') {
                    Some((method, path)) => (method, RoutePath::parse(path).unwrap()),
                    None => ("ANY", RoutePath::Default),
                };
                RouteSpec {
                    method: (method != "ANY").then(|| method.to_owned()),
                    path,
                    function: String::new(),
                    timeout: Duration::from_secs(30),
                }
            })
            .collect()
    }

    fn found(routes: &[RouteSpec], method: &str, path: &str) -> String {
        let Some((route, variables)) = find(routes, method, path) else { return "none".to_owned() };
        let variables: Vec<String> =
            variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{} {}", route.key(), variables.join(",")).trim_end().to_owned()
    }

    #[test]
    fn the_most_specific_route_takes_a_request() {
        let routes = routes(&[
            "$default",
            "ANY /{proxy+}",
            "GET /pets/{proxy+}",
            "GET /pets/dog/{id}",
            "ANY /pets/dog/{id}",
            "GET /pets/dog/1",
            "GET /{any}/dog/1",
            "GET /",
        ]);
        for (method, path, expected) in [
            ("GET", "/pets/dog/1", "GET /pets/dog/1"),
            ("GET", "/cats/dog/1", "GET /{any}/dog/1 any=cats"),
            ("GET", "/pets/dog/a%20b%2Fc", "GET /pets/dog/{id} id=a b/c"),
            ("PUT", "/pets/dog/2", "ANY /pets/dog/{id} id=2"),
            ("GET", "/pets/cat/3", "GET /pets/{proxy+} proxy=cat/3"),
            ("PUT", "/pets/cat/3", "ANY /{proxy+} proxy=pets/cat/3"),
            ("GET", "/pets/dog/", "GET /pets/{proxy+} proxy=dog/"),
            ("GET", "/", "GET /"),
            ("PUT", "/", "$default"),
        ] {
            assert_eq!(found(&routes, method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn without_a_default_nothing_takes_what_no_route_names() {
        let routes = routes(&["GET /a/{b}"]);
        for (method, path) in
            [("POST", "/a/1"), ("GET", "/a"), ("GET", "/a/"), ("GET", "/a/1/2"), ("GET", "/b/1")]
        {
            assert_eq!(found(&routes, method, path), "none", "{method} {path}");
        }
    }
}
