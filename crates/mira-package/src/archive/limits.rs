//! How large a package may be, and what is in it.

/// Bounds that hold for packages: those made here, and those that come from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The length of the package file, in bytes.
    pub package_bytes_max: u64,
    /// How many files are in it.
    pub files_max: usize,
    /// The length of one file in it, in bytes.
    pub file_bytes_max: u64,
    /// The length of all files in it, in bytes.
    pub unpacked_bytes_max: u64,
    /// How many times longer than the package all files may be, beyond a first [`FREE_BYTES`].
    pub ratio_max: u64,
}

/// What may be unpacked however short the package is, in bytes.
// LIMIT: a file of a few MiB of zeros is no attack on anybody.
pub const FREE_BYTES: u64 = 16 * 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        // LIMIT: ZIP without its 64-bit extension ends at 4 GiB; text compresses 3 to 20 times, and deflate stops at
        // 1,032 times, so 100 is far from both.
        Self {
            package_bytes_max: 2 * GIB,
            files_max: 10_000,
            file_bytes_max: 2 * GIB,
            unpacked_bytes_max: 4 * GIB - 1,
            ratio_max: 100,
        }
    }
}

const GIB: u64 = 1024 * 1024 * 1024;

impl Limits {
    /// Returns how long all files of a package of this length may be.
    pub(crate) fn unpacked_bytes_max(&self, package_bytes: u64) -> u64 {
        let by_ratio = package_bytes.saturating_mul(self.ratio_max);
        self.unpacked_bytes_max
            .min(by_ratio.saturating_add(FREE_BYTES))
    }
}
