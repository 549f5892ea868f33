//! What to say where no noise meets a target.

/// The search ended at a limit of noise multipliers, with an epsilon there; the remedy is for an epsilon above the wanted one.
pub(crate) fn no_noise_fits(
    (limit, spent): (f64, f64),
    wanted: f64,
    delta: f64,
    remedy: &str,
) -> String {
    if spent <= wanted {
        format!(
            "a noise multiplier of {limit} spends only epsilon {spent:.3e} of {wanted}: ask for a smaller epsilon, or use the \
             privacy for more steps or larger batches"
        )
    } else if delta <= 0.0 {
        "Gaussian noise gives no finite epsilon at delta 0: give a delta above 0 and well below 1 over the number of records, for \
         example 1e-6"
            .to_owned()
    } else {
        format!(
            "no noise multiplier up to {limit:e} keeps this run within epsilon {wanted} at delta {delta:e}: {remedy}"
        )
    }
}
