use super::*;

fn sampler(n: usize, rate: f64) -> PoissonSampler {
    PoissonSampler::new(n, SampleRate::new(rate).unwrap()).unwrap()
}

#[test]
fn the_first_draws_are_pinned() {
    let mut run = RunKey::seeded(5, 0);
    let key = run.next_step();
    let first = sampler(100, 0.1).draw(&key).batch;
    assert_eq!(first, PINNED, "every seeded run changes with this");
}
const PINNED: [usize; 9] = [1, 9, 16, 19, 20, 21, 51, 61, 81];

#[test]
fn a_record_is_taken_with_exactly_the_rate() {
    // The words after the given ones are never needed.
    let taken = |rate: f64, words: &[u64]| {
        let mut words = words.iter();
        below(rate, || *words.next().unwrap())
    };
    let word = |bits: u64| bits << 11;
    // The double 0.1 is (w + 0.25) 2^-53: the bits w decide nothing by themselves.
    let w = 900_719_925_474_099;
    assert!(taken(0.1, &[word(w - 1)]) && !taken(0.1, &[word(w + 1)]));
    let rest = 2_251_799_813_685_248; // 0.25 * 2^53
    assert!(taken(0.1, &[word(w), word(rest - 1)]));
    assert!(!taken(0.1, &[word(w), word(rest)]), "rounded up");
    // A rate below one step of the bits is not rounded up to it.
    assert!(!taken(2f64.powi(-60), &[word(0), word(1 << 46)]));
    assert!(taken(2f64.powi(-60), &[word(0), word((1 << 46) - 1)]));
    assert!(!taken(0.0, &[]) && taken(1.0, &[u64::MAX]) && !taken(0.5, &[word(1 << 52)]));
}

#[test]
fn rates_zero_and_one_take_none_and_all() {
    let key = RunKey::seeded(1, 0).next_step();
    assert!(sampler(50, 0.0).draw(&key).batch.is_empty());
    assert_eq!(sampler(50, 1.0).draw(&key).batch.len(), 50);
    assert!(PoissonSampler::new(0, SampleRate::new(0.5).unwrap()).is_err());
}

#[test]
fn batch_sizes_are_binomial_and_records_equally_likely() {
    let (n, rate, steps) = (200usize, 0.3, 3000u32);
    let mut run = RunKey::seeded(2, 0);
    let mut counts = vec![0.0f64; n];
    let (mut sum, mut squares) = (0.0f64, 0.0f64);
    for _ in 0..steps {
        let batch = sampler(n, rate).draw(&run.next_step()).batch;
        batch.iter().for_each(|i| counts[*i] += 1.0);
        sum += batch.len() as f64;
        squares += (batch.len() as f64).powi(2);
    }
    let steps = f64::from(steps);
    let variance = n as f64 * rate * (1.0 - rate);
    let mean = sum / steps;
    assert!((mean - n as f64 * rate).abs() < 5.0 * (variance / steps).sqrt(), "mean {mean}");
    // The variance estimate of a nearly normal variable has standard error variance * sqrt(2 / steps).
    let spread = squares / steps - mean * mean;
    assert!((spread - variance).abs() < 5.0 * variance * (2.0 / steps).sqrt(), "{spread}");
    for count in counts {
        let error = 5.0 * (steps * rate * (1.0 - rate)).sqrt();
        assert!((count - steps * rate).abs() < error, "{count}");
    }
}

#[test]
fn a_resumed_seeded_run_goes_on_with_the_same_keys() {
    let mut whole = RunKey::seeded(3, 0);
    let _ = whole.next_step();
    let _ = whole.next_step();
    let third = whole.next_step().noise().fingerprint();
    assert_eq!(RunKey::seeded(3, 2).next_step().noise().fingerprint(), third);
}

#[test]
fn no_key_comes_twice_after_the_last_number_either() {
    let mut run = RunKey::seeded(3, u64::MAX - 1);
    let mut prints: Vec<u64> = (0..4).map(|_| run.next_step().fingerprint()).collect();
    let mut first = RunKey::seeded(3, 0);
    prints.extend((0..3).map(|_| first.next_step().fingerprint()));
    assert_eq!(prints.iter().collect::<std::collections::BTreeSet<_>>().len(), 7);
}

#[test]
fn a_batch_belongs_to_the_step_of_its_key_and_no_other() {
    let mut run = RunKey::private().unwrap();
    let (key, other) = (run.next_step(), run.next_step());
    let (batch, draw) = sampler(10, 0.5).draw_as(&key, 3).map(|records| records.len()).open();
    let draw = draw.unwrap();
    assert!(draw.belongs_to(&key) && !draw.belongs_to(&other));
    assert!((draw.rate().get() - 0.5).abs() < 1e-15 && batch <= 10);
}

#[test]
fn two_private_runs_share_no_key() {
    let mut a = RunKey::private().unwrap();
    let mut b = RunKey::private().unwrap();
    let prints: std::collections::BTreeSet<u64> = [a.next_step(), a.next_step(), b.next_step()]
        .iter()
        .map(|k| k.noise().fingerprint())
        .collect();
    assert_eq!(prints.len(), 3);
    assert!(!a.is_seeded());
}
