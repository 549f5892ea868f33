//! Times the parts of one training step of the small networks, ordinary and with per-sample norms.
//!
//! `RAYON_NUM_THREADS=1 cargo run --release -p tape-nn --example cnn_step [steps]`

#![allow(clippy::print_stdout, reason = "an example prints")]

use candle_core::{DType, Device, Tensor};
use tape_nn::net::{Cnn, CnnConfig, Mlp, Network};
use tape_nn::{Activation, Builder, Classifier, Context, LabeledBatch, Tape, TapeLoss};
use tensor_tree::{Groups, Key, PerSample, Tree};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const BATCH: usize = 64;
const PARTS: [&str; 5] = ["forward", "backward", "norms", "sums", "update"];

fn main() -> Result<()> {
    tensor_tree::keep_freed_memory();
    let steps = std::env::args().nth(1).map_or(Ok(60), |n| n.parse())?;
    let device = Device::Cpu;
    let mut pixels = vec![0f32; BATCH * 784];
    Key::from_seed(1).fill_normal(&mut pixels);
    let inputs = Tensor::from_vec(pixels, (BATCH, 784), &device)?;
    let labels = Tensor::from_vec((0..10u32).cycle().take(BATCH).collect(), BATCH, &device)?;
    let batch = LabeledBatch::new(inputs, labels);

    let builder = Builder::init(Key::from_seed(2), DType::F32, &device);
    let cnn = Cnn::new(CnnConfig::default(), builder.vb())?;
    compare("cnn", Classifier::new(cnn), builder.into_tree()?, &batch, steps)?;

    let builder = Builder::init(Key::from_seed(2), DType::F32, &device);
    let mlp = Mlp::new(&[784, 512, 256, 10], Activation::Relu, builder.vb())?;
    compare("mlp", Classifier::new(mlp), builder.into_tree()?, &batch, 10 * steps)
}

/// Alternates ordinary and private steps and prints medians of their parts in milliseconds.
fn compare<N: Network>(
    name: &str,
    model: Classifier<N>,
    params: Tree,
    batch: &LabeledBatch,
    steps: usize,
) -> Result<()> {
    println!("{name}, batch {BATCH}, ms of processor time: median (minimum) of {steps} steps");
    let mut times = [vec![], vec![]];
    let mut current = [params.clone(), params];
    for step in 0..steps + 5 {
        for private in [false, true] {
            let k = usize::from(private);
            let (next, parts) = one_step(&model, &current[k], batch, private)?;
            current[k] = next;
            if 5 <= step {
                times[k].push(parts);
            }
        }
    }
    let mut totals = [0.0; 2];
    for (k, label) in ["ordinary", "private"].into_iter().enumerate() {
        let mut line = format!("  {label:9}");
        for (p, part) in PARTS.iter().enumerate() {
            let (median, least) = summary(times[k].iter().map(|t| t[p]).collect());
            line += &format!("  {part} {median:.3} ({least:.3})");
        }
        let (median, least) = summary(times[k].iter().map(|t| t.iter().sum()).collect());
        totals[k] = median;
        println!("{line}  total {median:.3} ({least:.3})");
    }
    println!("  private / ordinary {:.3}", totals[1] / totals[0]);
    Ok(())
}

fn summary(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0])
}

/// The parameters after one step, and the times of its parts.
fn one_step<N: Network>(
    model: &Classifier<N>,
    params: &Tree,
    batch: &LabeledBatch,
    private: bool,
) -> Result<(Tree, [f64; 5])> {
    let mut parts = [0.0; 5];
    let mut clock = Clock::start();
    let device = Device::Cpu;
    let tape = if private { Tape::recording(&device)? } else { Tape::summing(&device)? };
    let cx = Context::recording(params, model.frozen(), &tape);
    let loss = model.losses(&cx, batch)?.sum.sum_all()?;
    drop(cx);
    parts[0] = clock.lap();
    loss.backward()?;
    drop(loss);
    parts[1] = clock.lap();
    let sum = if private {
        let groups = Groups::one(params);
        let grads = tape.into_grads(params, BATCH)?;
        let norms = grads.squared_norms(&groups)?;
        let factors: Vec<f64> = norms[0].iter().map(|n| (1.0 / n.sqrt()).min(1.0)).collect();
        parts[2] = clock.lap();
        grads.weighted_sum(&groups, &[factors])?
    } else {
        tape.into_sum(params)?
    };
    parts[3] = clock.lap();
    let next = params.add_scaled(-0.01 / BATCH as f64, &sum)?;
    parts[4] = clock.lap();
    Ok((next, parts))
}

/// Measures processor time of this process, since others may share the machine.
struct Clock(f64);

impl Clock {
    fn start() -> Clock {
        Clock(processor_seconds())
    }

    /// Milliseconds since the last lap.
    fn lap(&mut self) -> f64 {
        let now = processor_seconds();
        let elapsed = (now - self.0) * 1e3;
        self.0 = now;
        elapsed
    }
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn processor_seconds() -> f64 {
    #[repr(C)]
    struct Timespec {
        seconds: i64,
        nanoseconds: i64,
    }
    #[allow(unsafe_code)]
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
    }
    const PROCESS_CPUTIME: i32 = 2;
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    #[allow(unsafe_code)]
    // SAFETY: the C library fills the struct, whose layout is that of 64-bit Linux.
    unsafe {
        clock_gettime(PROCESS_CPUTIME, &mut time);
    }
    time.seconds as f64 + time.nanoseconds as f64 * 1e-9
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn processor_seconds() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_secs_f64()
}
