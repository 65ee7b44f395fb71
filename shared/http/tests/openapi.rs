//! The contract in `docs/openapi.json` is the one that the code serves.

use std::path::Path;

#[test]
fn the_document_in_docs_is_the_codes_own() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let expected = willcall_http::openapi(None).to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, expected).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/openapi.json is not what the code says. Write it anew:\n\n    UPDATE_OPENAPI=1 cargo test -p willcall-http \
         --test openapi\n"
    );
}

#[test]
fn the_document_is_the_same_each_time() {
    let document = || willcall_http::openapi(Some("https://api.example.com")).to_json().unwrap();
    assert_eq!(document(), document());
    assert!(document().contains("\"url\":\"https://api.example.com\""));
}
