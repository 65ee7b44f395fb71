//! What the system does.
