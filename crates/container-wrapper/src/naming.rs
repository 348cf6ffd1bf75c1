//! Names made up by the wrapper, from random bits.

use std::fs::File;
use std::io::{self, Read};

use ccpool_protocol::TurnId;

/// Where the random bits come from.
pub(crate) trait Bits: Send {
    /// 128 fresh ones.
    fn draw(&mut self) -> u128;
}

/// The kernel's generator.
#[derive(Debug)]
pub(crate) struct Kernel(File);

impl Kernel {
    /// # Errors
    /// When `/dev/urandom` cannot be opened or read.
    pub(crate) fn open() -> io::Result<Self> {
        let mut file = File::open("/dev/urandom")?;
        file.read_exact(&mut [0; 16])?;
        Ok(Self(file))
    }
}

impl Bits for Kernel {
    fn draw(&mut self) -> u128 {
        let mut bytes = [0; 16];
        self.0
            .read_exact(&mut bytes)
            .expect("/dev/urandom was readable before and never ends");
        u128::from_ne_bytes(bytes)
    }
}

/// A UUID of version 4.
pub(crate) fn uuid(bits: u128) -> String {
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

/// A turn whose caller gave it no name.
pub(crate) fn turn(bits: u128) -> TurnId {
    named("t", bits)
}

/// A turn that nobody asked for.
pub(crate) fn unasked_turn(bits: u128) -> TurnId {
    named("auto", bits)
}

fn named(prefix: &str, bits: u128) -> TurnId {
    let number = (bits & 0xffff_ffff) as u32;
    TurnId::new(format!("{prefix}-{number:08x}")).expect("letters and hex digits are a turn id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_version_and_variant() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let mut kernel = Kernel::open().unwrap();
        assert_ne!(kernel.draw(), kernel.draw());
    }
}
