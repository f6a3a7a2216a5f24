//! A gzip stream that is small on the wire and large when unpacked, written without a compressor.

/// The bytes of a gzip member that unpacks to about `size` zeros. Its checksum is wrong: a reader
/// that gets that far has read too much already.
pub(super) fn zeros(size: u64) -> Vec<u8> {
    let mut bits = Bits {
        bytes: vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255],
        used: 0,
    };
    // One last block with fixed codes: a literal zero, then "copy 258 bytes from 1 back" again and again.
    bits.put(0b1, 1);
    bits.put(0b01, 2);
    bits.code(0b0011_0000, 8);
    for _ in 0..size / 258 {
        bits.code(0b1100_0101, 8);
        bits.code(0, 5);
    }
    bits.code(0, 7);
    bits.bytes.extend([0; 8]);
    bits.bytes
}

struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    /// Numbers go lowest bit first.
    fn put(&mut self, value: u32, width: u32) {
        for bit in 0..width {
            self.bit(value >> bit & 1);
        }
    }

    /// Codes go highest bit first.
    fn code(&mut self, value: u32, width: u32) {
        for bit in (0..width).rev() {
            self.bit(value >> bit & 1);
        }
    }

    fn bit(&mut self, bit: u32) {
        if self.used == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit == 1) << self.used;
        }
        self.used = (self.used + 1) % 8;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io::Read as _;

    #[test]
    fn a_kilobyte_unpacks_to_much_more() {
        let packed = super::zeros(1 << 20);
        assert!(packed.len() < 8 << 10);
        let mut unpacked = Vec::new();
        let mut reader = flate2::read::GzDecoder::new(packed.as_slice());
        // The checksum at the end is wrong on purpose.
        assert!(reader.read_to_end(&mut unpacked).is_err());
        assert!(unpacked.len() > (1 << 20) - 258 && unpacked.iter().all(|byte| *byte == 0));
    }
}
