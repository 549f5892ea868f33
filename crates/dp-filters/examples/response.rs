//! What the named filters do: poles, gains and lag as a table, frequency and noise as plots below `target/`.
//!
//! `cargo run -p dp-filters --example response`

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::fs;
use std::path::Path;

use dp_filters::{Filter, Recipe};
use report::plot::{Plot, Series};

const STEPS: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let named = Recipe::ALL.map(|recipe| (recipe.name(), recipe.filter().normalized()));
    let designed = [("butterworth_2 at 0.02", Filter::butterworth_2(0.02)?)];
    let mut frequencies = Plot::new("Filters of gradients: frequencies")
        .x_label("cycles per step")
        .y_label("dB")
        .y_range(-60.0, 5.0);
    let mut noise = Plot::new("Filters of gradients: noise power with bias correction")
        .x_label("step")
        .y_label("variance, over that of the gradient")
        .log_y();
    println!("filter, largest pole, noise power gain, mean age in steps");
    for (name, filter) in named.into_iter().chain(designed) {
        let pole = filter.poles()?.first().map_or("none".to_owned(), ToString::to_string);
        let (power, age) = (filter.noise_power_gain(), filter.mean_age());
        println!("{name}, {pole}, {power:.4}, {age:.1}");
        let response = filter.frequency_response(256)?.into_iter();
        let decibels = response.map(|r| (r.frequency, r.decibels().max(-100.0)));
        frequencies = frequencies.series(Series::line(name, decibels));
        let gains = filter.first_gains(STEPS).into_iter();
        noise = noise.series(Series::indexed(name, gains.map(|g| g.corrected_noise_power())));
    }
    let folder = Path::new("target/filters");
    fs::create_dir_all(folder)?;
    frequencies.to_svg()?.save(folder.join("frequencies.svg"))?;
    noise.to_svg()?.save(folder.join("noise.svg"))?;
    println!("wrote frequencies.svg and noise.svg in {}", folder.display());
    Ok(())
}
