//! Pooling against candle's operations that differentiate well.

use candle_core::{Device, Var};

use super::*;
use crate::testing::{assert_close, normal, values};

fn run(x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) -> (Tensor, Tensor) {
    let x = Var::from_tensor(x).unwrap();
    let y = f(&x).unwrap();
    let seeds = normal(y.dims(), 9);
    let grads = (&y * seeds).unwrap().sum_all().unwrap().backward().unwrap();
    (y.detach(), grads.get(&x).unwrap().clone())
}

#[test]
fn pools_agree_with_windows_made_by_candle() {
    for (kernel, stride, h, w) in [(2, 2, 6, 8), (3, 2, 8, 7), (3, 1, 5, 5), (2, 3, 7, 9)] {
        let x = normal(&[2, h, w, 5], 1);
        let first = super::super::to_channels_first(&x).unwrap();
        let (y, dx) = run(&x, |x| max_pool2d(x, kernel, stride, Channels::Last));
        let (want, want_dx) = run(&x, |x| composed_max_pool2d(x, kernel, stride));
        assert_close(&y, &want, 1e-12, "pool");
        assert_close(&dx, &want_dx, 1e-12, "pool");
        let candle = first.max_pool2d_with_stride(kernel, stride).unwrap();
        assert_close(
            &max_pool2d(&first, kernel, stride, Channels::First).unwrap(),
            &candle,
            1e-12,
            "pool",
        );

        let (y, dx) = run(&x, |x| avg_pool2d(x, kernel, stride, Channels::Last));
        let (want, want_dx) = run(&x, |x| Ok(windows(x, kernel, stride)?.mean(4)?));
        assert_close(&y, &want, 1e-12, "pool");
        assert_close(&dx, &want_dx, 1e-12, "pool");
        let candle = first.avg_pool2d_with_stride(kernel, stride).unwrap();
        assert_close(
            &avg_pool2d(&first, kernel, stride, Channels::First).unwrap(),
            &candle,
            1e-12,
            "pool",
        );
    }
}

#[test]
fn the_gradient_goes_to_the_first_of_equal_maxima() {
    let x = Tensor::ones((1, 2, 2, 1), DType::F64, &Device::Cpu).unwrap();
    let x = Var::from_tensor(&x).unwrap();
    let y = max_pool2d(&x, 2, 2, Channels::Last).unwrap();
    let grads = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(values(grads.get(&x).unwrap()), [1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn composed_maxima_treat_ties_as_the_fused_ones_do() {
    // Few values, so that most windows have ties.
    for (kernel, stride) in [(2, 2), (3, 2), (3, 1)] {
        let x = (normal(&[2, 6, 7, 3], 4).round().unwrap().clamp(-1.0, 1.0)).unwrap();
        let (y, dx) = run(&x, |x| max_pool2d(x, kernel, stride, Channels::Last));
        let (got, got_dx) = run(&x, |x| composed_max_pool2d(x, kernel, stride));
        assert_close(&got, &y, 0.0, "ties");
        assert_close(&got_dx, &dx, 1e-15, "ties");
    }
}

#[test]
fn an_empty_batch_has_an_empty_mean() {
    let x = Tensor::zeros((0, 3, 4, 5), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(global_mean_pool(&x, Channels::First).unwrap().dims(), [0, 3]);
    assert_eq!(global_mean_pool(&x, Channels::Last).unwrap().dims(), [0, 5]);
}

#[test]
fn the_global_mean_is_the_mean_over_places() {
    let x = normal(&[2, 3, 4, 5], 2);
    let (y, dx) = run(&x, |x| global_mean_pool(x, Channels::First));
    assert_close(&y, &x.mean((2, 3)).unwrap(), 1e-12, "pool");
    let want = normal(&[2, 3], 9).unsqueeze(2).unwrap().unsqueeze(3).unwrap();
    assert_close(&dx, &(want.broadcast_as(x.dims()).unwrap() / 20.0).unwrap(), 1e-12, "pool");
    assert_close(
        &global_mean_pool(&x, Channels::Last).unwrap(),
        &x.mean((1, 2)).unwrap(),
        1e-12,
        "pool",
    );
}

#[test]
fn what_is_not_a_number_stays_so() {
    let x = Tensor::from_vec(vec![1.0, f64::NAN, 3.0, 0.0], (1, 2, 2, 1), &Device::Cpu).unwrap();
    assert!(values(&max_pool2d(&x, 2, 2, Channels::Last).unwrap())[0].is_nan());
    assert!(values(&composed_max_pool2d(&x, 2, 2).unwrap())[0].is_nan());
}

#[test]
fn what_does_not_fit_is_an_error() {
    let x = normal(&[2, 3, 3, 5], 1);
    for (kernel, stride) in [(0, 1), (257, 1), (2, 0)] {
        let got = max_pool2d(&x, kernel, stride, Channels::Last);
        assert!(matches!(got, Err(Error::InvalidSetting { .. })));
    }
    for got in [
        avg_pool2d(&x, 4, 1, Channels::Last),
        max_pool2d(&normal(&[2, 3, 3], 1), 2, 2, Channels::First),
        global_mean_pool(&normal(&[2, 3], 1), Channels::First),
    ] {
        assert!(matches!(got, Err(Error::InputShape { .. })));
    }
}
