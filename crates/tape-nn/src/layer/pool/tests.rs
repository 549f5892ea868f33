//! Pooling against candle's operations that differentiate well.

use candle_core::{DType, Device, Var};
use tensor_tree::Key;

use super::*;

fn draw(dims: &[usize], seed: u64) -> Tensor {
    let mut data = vec![0f64; dims.iter().product()];
    Key::from_seed(seed).fill_normal(&mut data);
    Tensor::from_vec(data, dims, &Device::Cpu).unwrap()
}

fn values(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn close(a: &Tensor, b: &Tensor) {
    assert_eq!(a.dims(), b.dims());
    assert!(values(a).iter().zip(values(b)).all(|(x, y)| (x - y).abs() < 1e-12));
}

fn run(x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) -> (Tensor, Tensor) {
    let x = Var::from_tensor(x).unwrap();
    let y = f(&x).unwrap();
    let seeds = draw(y.dims(), 9);
    let grads = (&y * seeds).unwrap().sum_all().unwrap().backward().unwrap();
    (y.detach(), grads.get(&x).unwrap().clone())
}

#[test]
fn pools_agree_with_windows_made_by_candle() {
    for (kernel, stride, h, w) in [(2, 2, 6, 8), (3, 2, 8, 7), (3, 1, 5, 5), (2, 3, 7, 9)] {
        let x = draw(&[2, h, w, 5], 1);
        let first = super::super::to_channels_first(&x).unwrap();
        let (y, dx) = run(&x, |x| max_pool2d(x, kernel, stride, Channels::Last));
        let (want, want_dx) = run(&x, |x| composed_max_pool2d(x, kernel, stride));
        close(&y, &want);
        close(&dx, &want_dx);
        let candle = first.max_pool2d_with_stride(kernel, stride).unwrap();
        close(&max_pool2d(&first, kernel, stride, Channels::First).unwrap(), &candle);

        let (y, dx) = run(&x, |x| avg_pool2d(x, kernel, stride, Channels::Last));
        let (want, want_dx) = run(&x, |x| Ok(windows(x, kernel, stride)?.mean(4)?));
        close(&y, &want);
        close(&dx, &want_dx);
        let candle = first.avg_pool2d_with_stride(kernel, stride).unwrap();
        close(&avg_pool2d(&first, kernel, stride, Channels::First).unwrap(), &candle);
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
fn the_global_mean_is_the_mean_over_places() {
    let x = draw(&[2, 3, 4, 5], 2);
    let (y, dx) = run(&x, |x| global_mean_pool(x, Channels::First));
    close(&y, &x.mean((2, 3)).unwrap());
    let want = draw(&[2, 3], 9).unsqueeze(2).unwrap().unsqueeze(3).unwrap();
    close(&dx, &(want.broadcast_as(x.dims()).unwrap() / 20.0).unwrap());
    close(&global_mean_pool(&x, Channels::Last).unwrap(), &x.mean((1, 2)).unwrap());
}

#[test]
fn what_is_not_a_number_stays_so() {
    let x = Tensor::from_vec(vec![1.0, f64::NAN, 3.0, 0.0], (1, 2, 2, 1), &Device::Cpu).unwrap();
    assert!(values(&max_pool2d(&x, 2, 2, Channels::Last).unwrap())[0].is_nan());
}

#[test]
fn what_does_not_fit_is_an_error() {
    let x = draw(&[2, 3, 3, 5], 1);
    for (kernel, stride) in [(0, 1), (257, 1), (2, 0)] {
        let got = max_pool2d(&x, kernel, stride, Channels::Last);
        assert!(matches!(got, Err(Error::InvalidSetting { .. })));
    }
    for got in [
        avg_pool2d(&x, 4, 1, Channels::Last),
        max_pool2d(&draw(&[2, 3, 3], 1), 2, 2, Channels::First),
        global_mean_pool(&draw(&[2, 3], 1), Channels::First),
    ] {
        assert!(matches!(got, Err(Error::InputShape { .. })));
    }
}
