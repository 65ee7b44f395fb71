//! Stub.
pub(super) fn components() -> utoipa::openapi::Components {
    utoipa::openapi::Components::new()
}
