//! The noise convention of the file: `(clipped sum + sigma R z) / B`.

use dp_core::{PrivacyPlan, PrivateStep, RdpAccountant, RunKey, Unsampled};
use tensor_tree::{Label, Purpose, SingleProcess};

use super::*;

/// The normals of the first step of the run with this seed, leaf by leaf.
fn normals(seed: u64, params: &Tree) -> Tree {
    let step = Key::from_seed(seed).child(Label::Step(0)).child(Label::For(Purpose::Noise));
    params.map(|name, leaf| step.child(Label::Leaf(name)).normal_like(leaf)).unwrap()
}

/// Numbers in the order of the file, as a tree like `params`.
fn unflatten(case: &Value, params: &Tree, numbers: &[f64]) -> Tree {
    let mut rest = numbers;
    let leaves = array(&case["params"]).iter().map(|p| {
        let name = text(&p["name"], "").to_owned();
        let like = params.leaf(&name).unwrap();
        let (own, after) = rest.split_at(like.elem_count());
        rest = after;
        (name, Tensor::from_slice(own, like.shape(), like.device()).unwrap())
    });
    let tree = Tree::from_leaves(leaves).unwrap();
    assert!(rest.is_empty());
    tree
}

/// The private step with the noise of its key taken off and that of the file put on, both at the file's scale.
///
/// What the crate computes enters by its clipped sum, its scale of the noise and its divisor: if one of them were
/// another than the file's, the two noises would not cancel.
#[test]
fn golden_clipping_noise_convention() {
    const SEED: u64 = 12;
    let Some(file) = file("dp_clipping.json") else { return };
    for case in section(&file, "cases").unwrap_or_default() {
        let name = text(&case["name"], "").to_owned();
        if !KNOWN.contains(&name.as_str()) {
            continue;
        }
        let noised = &case["noised"];
        let number = |key: &str| noised[key].as_f64().unwrap();
        let (sigma, r, b) = (number("sigma"), number("R"), number("expected_batch_size"));
        let clip = &case["clip"][usize::try_from(noised["variant"].as_u64().unwrap()).unwrap()];
        let params = params(case, DType::F64);
        let plan = PrivacyPlan::builder()
            .n_samples(1000)
            .expected_batch_size(b)
            .steps(1)
            .delta(1e-5)
            .noise_multiplier(sigma)
            .clip_norm(r)
            .build(&RdpAccountant::new())
            .unwrap();
        let clipping = clipping(clip, &params);
        let step = PrivateStep::new(&plan, clipping.clone()).unwrap();
        let objective = Taped(Network::new(case, DType::F64));
        let points = ProbePoint::single(&params);
        let run = |parts: Vec<()>| {
            let (key, mut ledger) = (RunKey::seeded(SEED, 0).next_step(), plan.ledger());
            let parts = Unsampled(parts);
            step.run_in_parts(&objective, &points, parts, key, &SingleProcess, &mut ledger).unwrap()
        };
        let own = normals(SEED, &params);
        let theirs = unflatten(case, &params, &numbers(&noised["z"]));
        let exchange = theirs.add_scaled(-1.0, &own).unwrap();
        let compare = |what: &str, got: &Tree, want: &Value| {
            let got = got.add_scaled(sigma * r / b, &exchange).unwrap();
            let want = unflatten(case, &params, &numbers(want));
            for (leaf, want) in want.iter() {
                let got = flat(got.leaf(leaf).unwrap());
                check(&format!("{name}, {what}: {leaf}"), &got, &flat(want), 1e-10);
            }
        };
        compare("private gradient", &run(vec![()]), &noised["private_grad"]);
        compare("empty batch", &run(vec![]), &noised["private_grad_empty_batch"]);
    }
}
