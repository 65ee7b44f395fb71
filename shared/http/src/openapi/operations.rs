//! x
pub(super) fn paths() -> utoipa::openapi::Paths {
    utoipa::openapi::Paths::new()
}
