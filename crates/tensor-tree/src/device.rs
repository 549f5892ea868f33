//! Choice of the device to compute on; the only place that knows which back-ends were built in.

use candle_core::Device;

use crate::error::{Error, Result};

/// The device of that name: `cpu`, `cuda`, `cuda:1`, `metal` or `auto` (the first GPU that opens, else the CPU).
///
/// # Errors
/// [`Error::Device`] for an unknown name, a back-end that was not built in, or a device that does not open.
pub fn device(name: &str) -> Result<Device> {
    let refuse = |reason: String| Error::Device { name: name.into(), reason };
    let (kind, ordinal) = match name.split_once(':') {
        Some((kind, n)) => {
            (kind, n.parse::<usize>().map_err(|_| refuse(format!("`{n}` is not a number")))?)
        }
        None => (name, 0),
    };
    match kind {
        "cpu" => Ok(Device::Cpu),
        "auto" => Ok(gpu(0).unwrap_or(Device::Cpu)),
        "cuda" if cfg!(feature = "cuda") => {
            Device::new_cuda(ordinal).map_err(|e| refuse(e.to_string()))
        }
        "metal" if cfg!(feature = "metal") => {
            Device::new_metal(ordinal).map_err(|e| refuse(e.to_string()))
        }
        "cuda" | "metal" => Err(refuse(format!("built without the feature `{kind}`"))),
        _ => Err(refuse("expected cpu, cuda, cuda:N, metal or auto".into())),
    }
}

fn gpu(ordinal: usize) -> Option<Device> {
    if cfg!(feature = "cuda") {
        Device::new_cuda(ordinal).ok()
    } else if cfg!(feature = "metal") {
        Device::new_metal(ordinal).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_devices_are_refused_with_their_name() {
        for name in ["gpu", "cuda:x", ""] {
            assert!(device(name).is_err_and(|e| e.to_string().contains(name)));
        }
        assert!(device("cpu").is_ok_and(|d| d.is_cpu()));
        assert!(device("auto").is_ok());
    }
}
