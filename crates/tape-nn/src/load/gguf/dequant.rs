//! Blocks of quantised numbers.

use candle_core::DType;

/// How the numbers of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quant {
    /// 32 bit numbers.
    F32,
    /// 16 bit numbers.
    F16,
    /// 16 bit numbers with the exponent of `F32`.
    BF16,
    /// 64 bit numbers.
    F64,
    /// 4 bits and a scale per 32.
    Q4_0,
    /// 4 bits, a scale and a minimum per 32.
    Q4_1,
    /// 5 bits and a scale per 32.
    Q5_0,
    /// 5 bits, a scale and a minimum per 32.
    Q5_1,
    /// 8 bits and a scale per 32.
    Q8_0,
    /// 4 bits, blocks of 32 in superblocks of 256.
    Q4K,
    /// 5 bits, blocks of 32 in superblocks of 256.
    Q5K,
    /// 6 bits, blocks of 16 in superblocks of 256.
    Q6K,
}

impl Quant {
    /// The type of that number in a file, if it is one that can be dequantised.
    pub(super) fn of(number: u32) -> Option<Quant> {
        Some(match number {
            0 => Quant::F32,
            1 => Quant::F16,
            2 => Quant::Q4_0,
            3 => Quant::Q4_1,
            6 => Quant::Q5_0,
            7 => Quant::Q5_1,
            8 => Quant::Q8_0,
            12 => Quant::Q4K,
            13 => Quant::Q5K,
            14 => Quant::Q6K,
            28 => Quant::F64,
            30 => Quant::BF16,
            _ => return None,
        })
    }

    /// The name of a type that cannot be dequantised.
    pub(super) fn name_of(number: u32) -> &'static str {
        match number {
            9 => "Q8_1",
            10 => "Q2_K",
            11 => "Q3_K",
            15 => "Q8_K",
            16..=23 | 29 => "one of the IQ types",
            24..=27 => "integers",
            34 | 35 => "a ternary type",
            _ => "unknown",
        }
    }

    /// Numbers in one block.
    #[must_use]
    pub fn block(self) -> usize {
        match self {
            Quant::F32 | Quant::F16 | Quant::BF16 | Quant::F64 => 1,
            Quant::Q4_0 | Quant::Q4_1 | Quant::Q5_0 | Quant::Q5_1 | Quant::Q8_0 => 32,
            Quant::Q4K | Quant::Q5K | Quant::Q6K => 256,
        }
    }

    /// Bytes of one block.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        match self {
            Quant::F64 => 8,
            Quant::F32 => 4,
            Quant::F16 | Quant::BF16 => 2,
            Quant::Q4_0 => 18,
            Quant::Q4_1 => 20,
            Quant::Q5_0 => 22,
            Quant::Q5_1 => 24,
            Quant::Q8_0 => 34,
            Quant::Q4K => 144,
            Quant::Q5K => 176,
            Quant::Q6K => 210,
        }
    }

    /// The plain type, if the numbers are not in blocks.
    pub(super) fn plain(self) -> Option<DType> {
        match self {
            Quant::F32 => Some(DType::F32),
            Quant::F16 => Some(DType::F16),
            Quant::BF16 => Some(DType::BF16),
            Quant::F64 => Some(DType::F64),
            _ => None,
        }
    }

    /// The numbers of whole blocks. Plain types give nothing: see [`Quant::plain`].
    pub(super) fn dequantize(self, bytes: &[u8]) -> Vec<f32> {
        let one: fn(&[u8], &mut [f32]) = match self {
            Quant::Q4_0 => q4_0,
            Quant::Q4_1 => q4_1,
            Quant::Q5_0 => q5_0,
            Quant::Q5_1 => q5_1,
            Quant::Q8_0 => q8_0,
            Quant::Q4K => q4_k,
            Quant::Q5K => q5_k,
            Quant::Q6K => q6_k,
            Quant::F32 | Quant::F16 | Quant::BF16 | Quant::F64 => return Vec::new(),
        };
        let (block, size) = (self.block(), self.block_bytes());
        let mut out = vec![0f32; bytes.len() / size * block];
        for (raw, out) in bytes.chunks_exact(size).zip(out.chunks_exact_mut(block)) {
            one(raw, out);
        }
        out
    }
}

/// A 16 bit number.
fn half(raw: &[u8]) -> f32 {
    let bits = u32::from(u16::from_le_bytes([raw[0], raw[1]]));
    let (sign, exponent, fraction) = ((bits & 0x8000) << 16, (bits >> 10) & 0x1f, bits & 0x3ff);
    match exponent {
        0 => {
            let small = fraction as f32 * 2f32.powi(-24);
            f32::from_bits(small.to_bits() | sign)
        }
        0x1f => f32::from_bits(sign | 0x7f80_0000 | (fraction << 13)),
        _ => f32::from_bits(sign | ((exponent + 112) << 23) | (fraction << 13)),
    }
}

/// The low or the high four bits.
fn nibble(byte: u8, high: bool) -> f32 {
    f32::from(if high { byte >> 4 } else { byte & 15 })
}

fn q4_0(raw: &[u8], out: &mut [f32]) {
    let d = half(raw);
    for (j, byte) in raw[2..].iter().enumerate() {
        out[j] = d * (nibble(*byte, false) - 8.0);
        out[j + 16] = d * (nibble(*byte, true) - 8.0);
    }
}

fn q4_1(raw: &[u8], out: &mut [f32]) {
    let (d, m) = (half(raw), half(&raw[2..]));
    for (j, byte) in raw[4..].iter().enumerate() {
        out[j] = d * nibble(*byte, false) + m;
        out[j + 16] = d * nibble(*byte, true) + m;
    }
}

/// The five-bit numbers of 32: four bits each and a word of high bits.
fn fives(high: &[u8], low: &[u8], mut put: impl FnMut(usize, f32)) {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    for (j, byte) in low.iter().enumerate() {
        let bit = |k: usize| if high >> k & 1 == 1 { 16.0 } else { 0.0 };
        put(j, nibble(*byte, false) + bit(j));
        put(j + 16, nibble(*byte, true) + bit(j + 16));
    }
}

fn q5_0(raw: &[u8], out: &mut [f32]) {
    let d = half(raw);
    fives(&raw[2..6], &raw[6..], |j, x| out[j] = d * (x - 16.0));
}

fn q5_1(raw: &[u8], out: &mut [f32]) {
    let (d, m) = (half(raw), half(&raw[2..]));
    fives(&raw[4..8], &raw[8..], |j, x| out[j] = d * x + m);
}

fn q8_0(raw: &[u8], out: &mut [f32]) {
    let d = half(raw);
    for (out, byte) in out.iter_mut().zip(&raw[2..]) {
        *out = d * f32::from(i8::from_le_bytes([*byte]));
    }
}

/// Scale and minimum of block `j` of eight, six bits each, packed in twelve bytes.
fn scale_and_min(j: usize, packed: &[u8]) -> (f32, f32) {
    let (scale, min) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        let low = packed[j + 4];
        (low & 15 | (packed[j - 4] >> 6) << 4, low >> 4 | (packed[j] >> 6) << 4)
    };
    (f32::from(scale), f32::from(min))
}

fn q4_k(raw: &[u8], out: &mut [f32]) {
    let (d, m) = (half(raw), half(&raw[2..]));
    let (packed, low) = (&raw[4..16], &raw[16..144]);
    for (k, (out, low)) in out.chunks_exact_mut(64).zip(low.chunks_exact(32)).enumerate() {
        for (side, out) in out.chunks_exact_mut(32).enumerate() {
            let (scale, min) = scale_and_min(2 * k + side, packed);
            let (d, m) = (d * scale, m * min);
            for (out, byte) in out.iter_mut().zip(low) {
                *out = d * nibble(*byte, side == 1) - m;
            }
        }
    }
}

fn q5_k(raw: &[u8], out: &mut [f32]) {
    let (d, m) = (half(raw), half(&raw[2..]));
    let (packed, high, low) = (&raw[4..16], &raw[16..48], &raw[48..176]);
    for (k, (out, low)) in out.chunks_exact_mut(64).zip(low.chunks_exact(32)).enumerate() {
        for (side, out) in out.chunks_exact_mut(32).enumerate() {
            let block = 2 * k + side;
            let (scale, min) = scale_and_min(block, packed);
            let (d, m) = (d * scale, m * min);
            for ((out, byte), high) in out.iter_mut().zip(low).zip(high) {
                let bit = if high >> block & 1 == 1 { 16.0 } else { 0.0 };
                *out = d * (nibble(*byte, side == 1) + bit) - m;
            }
        }
    }
}

fn q6_k(raw: &[u8], out: &mut [f32]) {
    let (low, high, scales, d) = (&raw[..128], &raw[128..192], &raw[192..208], half(&raw[208..]));
    for (k, out) in out.chunks_exact_mut(128).enumerate() {
        let (low, high, scales) = (&low[64 * k..], &high[32 * k..], &scales[8 * k..]);
        for (quarter, out) in out.chunks_exact_mut(32).enumerate() {
            for (l, out) in out.iter_mut().enumerate() {
                let byte = low[l + 32 * (quarter % 2)];
                let four = if quarter < 2 { byte & 15 } else { byte >> 4 };
                let two = (high[l] >> (2 * quarter)) & 3;
                let scale = i8::from_le_bytes([scales[l / 16 + 2 * quarter]]);
                *out = d * f32::from(scale) * (f32::from(four | two << 4) - 32.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn halves_agree_with_the_library() {
        for bits in 0..=u16::MAX {
            let raw = bits.to_le_bytes();
            let want = Tensor::from_raw_buffer(&raw, DType::F16, &[1], &Device::Cpu).unwrap();
            let want = want.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap()[0];
            let got = half(&raw);
            assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{bits:#x}");
        }
    }

    #[test]
    fn blocks_agree_with_the_library() {
        let mut values = vec![0f32; 8 * 256];
        tensor_tree::Key::from_seed(4).fill_normal(&mut values);
        let values = Tensor::from_vec(values, (4, 512), &Device::Cpu).unwrap();
        for (quant, theirs) in [
            (Quant::Q4_0, GgmlDType::Q4_0),
            (Quant::Q4_1, GgmlDType::Q4_1),
            (Quant::Q5_0, GgmlDType::Q5_0),
            (Quant::Q5_1, GgmlDType::Q5_1),
            (Quant::Q8_0, GgmlDType::Q8_0),
            (Quant::Q4K, GgmlDType::Q4K),
            (Quant::Q5K, GgmlDType::Q5K),
            (Quant::Q6K, GgmlDType::Q6K),
        ] {
            let stored = QTensor::quantize(&values, theirs).unwrap();
            let want = stored.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
            let want = want.to_vec1::<f32>().unwrap();
            let bytes = stored.data().unwrap();
            assert_eq!(bytes.len(), values.elem_count() / quant.block() * quant.block_bytes());
            let got = quant.dequantize(&bytes);
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                assert!((got - want).abs() <= 1e-6 * want.abs().max(0.1), "{quant:?} {i}");
            }
            assert_eq!(got.len(), want.len());
        }
    }
}
