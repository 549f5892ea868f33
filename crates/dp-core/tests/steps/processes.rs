//! Several processes share one noise: here threads that send each other messages.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::*;

enum Message {
    Tree(Tree),
    Fingerprint(u64),
    Bytes(Vec<u8>),
}

/// One of two that train together. A peer that gave up is an error, not an endless wait.
struct Peer {
    rank: usize,
    to: Sender<Message>,
    from: Receiver<Message>,
}

impl Peer {
    fn pair() -> [Peer; 2] {
        let ((to_1, from_0), (to_0, from_1)) = (channel(), channel());
        [Peer { rank: 0, to: to_1, from: from_1 }, Peer { rank: 1, to: to_0, from: from_0 }]
    }

    fn send(&self, message: Message) -> tensor_tree::Result<()> {
        self.to.send(message).map_err(|_| tensor_tree::Error::EmptyTree { what: "the peer" })
    }

    fn receive(&self) -> tensor_tree::Result<Message> {
        self.from.recv().map_err(|_| tensor_tree::Error::EmptyTree { what: "the peer" })
    }
}

impl Collective for Peer {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world_size(&self) -> usize {
        2
    }

    fn all_reduce_sum(&self, tree: Tree) -> tensor_tree::Result<Tree> {
        self.send(Message::Tree(tree.clone()))?;
        let Message::Tree(other) = self.receive()? else { panic!("expected a tree") };
        let (first, second) = if self.rank == 0 { (tree, other) } else { (other, tree) };
        first.add_scaled(1.0, &second)
    }

    fn agree_on(&self, key: Key) -> tensor_tree::Result<bool> {
        self.send(Message::Fingerprint(key.fingerprint()))?;
        let Message::Fingerprint(other) = self.receive()? else { panic!("expected a fingerprint") };
        Ok(other == key.fingerprint())
    }

    fn broadcast(&self, bytes: &mut [u8]) -> tensor_tree::Result<()> {
        if self.rank == 0 {
            return self.send(Message::Bytes(bytes.to_vec()));
        }
        let Message::Bytes(theirs) = self.receive()? else { panic!("expected bytes") };
        bytes.copy_from_slice(&theirs);
        Ok(())
    }
}

/// What `work` returns on either of two threads.
fn together<T: Send>(work: impl Fn(Peer) -> T + Sync) -> [T; 2] {
    let work = &work;
    thread::scope(|scope| {
        Peer::pair().map(|peer| scope.spawn(move || work(peer))).map(|t| t.join().unwrap())
    })
}

const ROW: &str = "tied embedding and head";

/// One step of `run` with its rank's part of the batch, drawn as its rank.
fn shard(mut run: Run, samples: &[Sample], key: StepKey, peer: &Peer) -> (Result<Tree>, Ledger) {
    let points = ProbePoint::single(&run.params);
    let rank = u32::try_from(peer.rank).unwrap();
    let drawn = plan().sampler().unwrap().draw_as(&key, rank).map(|_| run.batch(samples));
    let got = run.step.run(&run.net, &points, drawn, key, peer, &mut run.ledger);
    (got, run.ledger)
}

fn run_of(plan: &PrivacyPlan, dtype: DType) -> Run {
    Run::of(&named(ROW), dtype, plan, ClipFunction::default())
}

#[test]
fn shards_of_a_batch_on_two_processes_give_what_the_whole_batch_gives_in_one() {
    let all = samples(6);
    for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 1e-6)] {
        let mut alone = run_of(&plan(), dtype);
        let whole = alone.run(&all, seeded(4)).unwrap();
        let signal = difference(&whole, &alone.run(&[], seeded(4)).unwrap());
        assert!(100.0 * tolerance < norm(&signal), "the samples count");
        for cut in [0, 1, 4] {
            let shards = [&all[..cut], &all[cut..]];
            let [(first, ledger), (second, other)] =
                together(|peer| shard(run_of(&plan(), dtype), shards[peer.rank], seeded(4), &peer));
            let (first, second) = (first.unwrap(), second.unwrap());
            assert_eq!(bits(&first), bits(&second), "one result for all");
            let error = norm(&difference(&whole, &first));
            assert!(error <= tolerance, "{cut}: {error}");
            assert_eq!(ledger, other);
            assert_eq!((&ledger.phases()[0].event, ledger.n_charges()), (&plan().step_event(), 1));
        }
    }
}

#[test]
fn a_batch_drawn_as_that_of_another_process_is_refused_before_the_charge() {
    let mut run = run_of(&plan(), DType::F64);
    let (key, points) = (seeded(4), ProbePoint::single(&run.params));
    let drawn = plan().sampler().unwrap().draw_as(&key, 3).map(|_| run.batch(&samples(2)));
    let got = run.step.run(&run.net, &points, drawn, key, &SingleProcess, &mut run.ledger);
    assert!(matches!(got, Err(Error::BatchOfAnotherProcess { drawn: 3, here: 0 })), "{got:?}");
    assert_eq!(run.ledger.n_charges(), 0);
}

#[test]
fn processes_with_other_keys_or_settings_are_refused_before_the_charge() {
    let run = || run_of(&plan(), DType::F64);
    let with_margin = || {
        let mut run = run();
        let clipping = run.step.clipping().clone().with_margin(0.1).unwrap();
        run.step = PrivateStep::new(&plan(), clipping).unwrap();
        run
    };
    let other: [&(dyn Fn() -> (Run, StepKey) + Sync); 5] = [
        &|| (run(), seeded(1)),
        &|| (run(), private()),
        &|| (run_of(&plan_of(SIGMA, 2.0 * R), DType::F64), seeded(0)),
        &|| (run_of(&plan_of(2.0 * SIGMA, R), DType::F64), seeded(0)),
        &|| (with_margin(), seeded(0)),
    ];
    for (i, other) in other.iter().enumerate() {
        for odd in [0, 1] {
            let outcomes = together(|peer| {
                let (run, key) = if peer.rank == odd { other() } else { (run(), seeded(0)) };
                shard(run, &samples(2), key, &peer)
            });
            for (got, ledger) in outcomes {
                assert!(matches!(got, Err(Error::KeysDiffer)), "{i}: {got:?}");
                assert_eq!((ledger.n_charges(), ledger.marks().count()), (0, 0));
            }
        }
    }
}

#[test]
fn a_shared_private_key_is_the_same_on_every_process_and_supports_a_statement() {
    let twice = || {
        together(|peer| {
            let mut keys = RunKey::shared(&peer).unwrap();
            assert!(!keys.is_seeded());
            let own = samples(4);
            let own = &own[2 * peer.rank..2 * peer.rank + 2];
            let (first, ledger) = shard(run_of(&plan(), DType::F64), own, keys.next_step(), &peer);
            let (second, _) = shard(run_of(&plan(), DType::F64), own, keys.next_step(), &peer);
            (bits(&first.unwrap()), bits(&second.unwrap()), ledger)
        })
    };
    let [a, b] = twice();
    assert_eq!(a, b);
    assert_ne!(a.0, a.1, "a step has noise of its own");
    assert!(a.2.statement(&RdpAccountant::new(), delta()).is_ok());
    assert_ne!(twice()[0].0, a.0, "a run has a key of its own");
    assert!(!RunKey::shared(&SingleProcess).unwrap().is_seeded());
    let alone = || RunKey::shared(&SingleProcess).unwrap().next_step().dropout().fingerprint();
    assert_ne!(alone(), alone());
}

#[test]
fn a_transport_that_does_not_broadcast_shares_no_key() {
    /// Keeps the bytes to itself.
    struct Silent(Peer);
    impl Collective for Silent {
        fn rank(&self) -> usize {
            self.0.rank()
        }
        fn world_size(&self) -> usize {
            2
        }
        fn all_reduce_sum(&self, tree: Tree) -> tensor_tree::Result<Tree> {
            self.0.all_reduce_sum(tree)
        }
        fn agree_on(&self, key: Key) -> tensor_tree::Result<bool> {
            self.0.agree_on(key)
        }
        fn broadcast(&self, _: &mut [u8]) -> tensor_tree::Result<()> {
            Ok(())
        }
    }
    for got in together(|peer| RunKey::shared(&Silent(peer)).map(|_| ())) {
        assert!(matches!(got, Err(Error::KeysDiffer)));
    }
}

#[test]
fn losses_of_shards_are_those_of_the_whole_batch_with_one_noise() {
    let schedule = dp_core::LossSchedule { period: 1, first: 3, each: 3 };
    let plan = builder()
        .noise_multiplier(SIGMA)
        .clip_norm(R)
        .losses(schedule)
        .loss_noise_multiplier(2.0)
        .build(&RdpAccountant::new())
        .unwrap();
    let all = samples(6);
    let clip = dp_core::LossClip {
        bound: dp_core::LossBound::new(1.5).unwrap(),
        range: dp_core::LossRange::NonNegative,
    };
    fn released(
        (mut run, plan): (Run, &PrivacyPlan),
        samples: &[Sample],
        n_losses: u64,
        clip: dp_core::LossClip,
        group: &impl Collective,
    ) -> Result<Vec<f64>> {
        let points = ProbePoint::single(&run.params);
        let there = run.params.scale(0.5).unwrap();
        let (key, rank) = (seeded(4), u32::try_from(group.rank()).unwrap());
        let drawn = plan.sampler().unwrap().draw_as(&key, rank).map(|_| vec![run.batch(samples)]);
        let ledger = &mut run.ledger;
        let (_, mut losses) =
            run.step.run_with_losses(&run.net, &points, drawn, n_losses, key, group, ledger)?;
        let at = [&run.params, &there, &there];
        at.into_iter().map(|params| losses.release(&run.net, params, clip, group)).collect()
    }
    let run = || (run_of(&plan, DType::F64), &plan);
    let whole = released(run(), &all, 3, clip, &SingleProcess).unwrap();
    assert_ne!(whole[1].to_bits(), whole[2].to_bits(), "a noise of its own for each");
    for cut in [0, 1, 4] {
        let shards = [&all[..cut], &all[cut..]];
        let [a, b] = together(|peer| released(run(), shards[peer.rank], 3, clip, &peer).unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| a.to_bits() == b.to_bits()), "one result for all");
        for (whole, sharded) in whole.iter().zip(&a) {
            assert!((whole - sharded).abs() < 1e-12, "{cut}: {whole} {sharded}");
        }
    }
    // Processes that would charge different numbers of losses are refused.
    for got in together(|peer| released(run(), &all[..2], 2 + peer.rank as u64, clip, &peer)) {
        assert!(matches!(got, Err(Error::KeysDiffer)));
    }
}
