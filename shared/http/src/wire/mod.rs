//! What travels: requests as clients write them, resources as they are answered.

pub(crate) mod account;
pub(crate) mod batch;
pub(crate) mod body;
pub(crate) mod dataset;
pub(crate) mod estimate;
pub(crate) mod job;
pub(crate) mod json;
pub(crate) mod manifest;
pub(crate) mod members;
pub(crate) mod params;
pub(crate) mod query;
pub(crate) mod rows;
pub(crate) mod statement;
pub(crate) mod statistics;
pub(crate) mod webhook;
