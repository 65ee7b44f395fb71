//! What the function's size leaves to work with.

use std::path::Path;

use crate::Variables;

const MIB: u64 = 1024 * 1024;
/// The least that Lambda gives, for a process that is told nothing.
const LEAST_MEMORY: u64 = 128;

/// Memory and disk of the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes that can be put aside in the directory of temporary files; 0 where that is not known.
    pub disk: u64,
}

impl Size {
    /// The size that Lambda tells (`AWS_LAMBDA_FUNCTION_MEMORY_SIZE`, in MiB), and what is free in `tmp`.
    pub fn of(vars: &Variables, tmp: &Path) -> Self {
        let told = vars.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").and_then(|size| size.parse().ok());
        let disk = rustix::fs::statvfs(tmp).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize));
        Self { memory: told.unwrap_or(LEAST_MEMORY) * MIB, disk }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_as_lambda_tells_and_disk_as_the_system() {
        let vars: Variables = [("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "2048")].into_iter().collect();
        let size = Size::of(&vars, &std::env::temp_dir());
        assert_eq!(size.memory, 2048 * MIB);
        assert!(size.disk > 0);
        let unknown = Size::of(&Variables::default(), Path::new("/no/such/directory"));
        assert_eq!(unknown, Size { memory: 128 * MIB, disk: 0 });
    }
}
