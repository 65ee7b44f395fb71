//! CORS as API Gateway does it: it answers preflights itself, and sets its own headers in place of the function's.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::deployment::CorsSpec;

/// The names that API Gateway takes away from what a function answers.
const NAMES: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
];

/// The headers of the answer to a preflight; none if the request is none.
pub(super) fn preflight(cors: &CorsSpec, method: &Method, request: &HeaderMap) -> Option<HeaderMap> {
    if *method != Method::OPTIONS {
        return None;
    }
    let origin = request.get(header::ORIGIN)?;
    let wanted = request.get(header::ACCESS_CONTROL_REQUEST_METHOD)?.to_str().ok()?;
    let mut answer = HeaderMap::new();
    let fits = cors.methods.iter().any(|known| known == "*" || known == wanted);
    if let Some(origin) = allowed(cors, origin)
        && fits
    {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        list(&mut answer, header::ACCESS_CONTROL_ALLOW_METHODS, &cors.methods);
        list(&mut answer, header::ACCESS_CONTROL_ALLOW_HEADERS, &cors.headers);
        if let Some(age) = cors.max_age {
            answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(age));
        }
        credentials(cors, &mut answer);
    }
    Some(answer)
}

/// Puts the API's own headers in place of the function's.
pub(super) fn apply(cors: &CorsSpec, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
    for name in NAMES {
        response.remove(name);
    }
    if let Some(origin) = origin.and_then(|origin| allowed(cors, origin)) {
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        list(response, header::ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose);
        credentials(cors, response);
    }
}

fn allowed(cors: &CorsSpec, origin: &HeaderValue) -> Option<HeaderValue> {
    let text = origin.to_str().ok()?;
    match cors.origins.iter().find(|known| *known == "*" || *known == text)?.as_str() {
        "*" => Some(HeaderValue::from_static("*")),
        _ => Some(origin.clone()),
    }
}

fn list(headers: &mut HeaderMap, name: HeaderName, values: &[String]) {
    if let Ok(value) = HeaderValue::try_from(values.join(","))
        && !value.is_empty()
    {
        headers.insert(name, value);
    }
}

fn credentials(cors: &CorsSpec, headers: &mut HeaderMap) {
    if cors.credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> CorsSpec {
        CorsSpec {
            origins: vec!["https://a.example".to_owned()],
            methods: vec!["GET".to_owned(), "POST".to_owned()],
            headers: vec!["authorization".to_owned()],
            expose: vec!["etag".to_owned()],
            max_age: Some(60),
            credentials: true,
        }
    }

    fn request(origin: &'static str, method: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static(method));
        headers
    }

    #[test]
    fn a_preflight_tells_what_is_allowed_and_nothing_to_strangers() {
        let answer = preflight(&spec(), &Method::OPTIONS, &request("https://a.example", "POST")).unwrap();
        assert_eq!(answer["access-control-allow-origin"], "https://a.example");
        assert_eq!(answer["access-control-allow-methods"], "GET,POST");
        assert_eq!(answer["access-control-allow-headers"], "authorization");
        assert_eq!((&answer["access-control-max-age"], answer.len()), (&HeaderValue::from(60), 5));
        for refused in [request("https://b.example", "POST"), request("https://a.example", "DELETE")] {
            assert!(preflight(&spec(), &Method::OPTIONS, &refused).unwrap().is_empty());
        }
        assert!(preflight(&spec(), &Method::GET, &request("https://a.example", "POST")).is_none());
        assert!(preflight(&spec(), &Method::OPTIONS, &HeaderMap::new()).is_none());
    }

    #[test]
    fn the_function_s_own_headers_give_way() {
        let mut response = HeaderMap::new();
        response.insert("access-control-allow-origin", HeaderValue::from_static("*"));
        apply(&spec(), None, &mut response);
        assert!(response.is_empty());
        apply(&spec(), Some(&HeaderValue::from_static("https://a.example")), &mut response);
        assert_eq!(response["access-control-allow-origin"], "https://a.example");
        assert_eq!(response["access-control-expose-headers"], "etag");
        let any = CorsSpec { origins: vec!["*".to_owned()], credentials: false, ..spec() };
        apply(&any, Some(&HeaderValue::from_static("https://b.example")), &mut response);
        assert_eq!(response["access-control-allow-origin"], "*");
        assert!(!response.contains_key("access-control-allow-credentials"));
    }
}
