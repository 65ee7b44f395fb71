//! The adapters against an emulator of AWS: the suites of their ports, and what only AWS can do to them.

mod back_end;
mod blobs;
mod conformance;
mod faults;
mod faulty;
mod jobs;
mod signature;
