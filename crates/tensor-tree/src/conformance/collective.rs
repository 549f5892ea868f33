//! What a group of processes promises.

use candle_core::DType;

use super::{Check, sample_tree, say, within};
use crate::collective::Collective;
use crate::key::{Key, Label};
use crate::tree::Tree;

/// What every [`Collective`] promises: numbers from zero on, one sum of everyone's trees that is the same bits on
/// every process and in every repetition, bytes of the first handed to all, and agreement on a key exactly if all hold the same.
///
/// `members` are the members of one group in the order of their numbers; each runs in a thread of its own, so that
/// they may wait for each other.
///
/// # Errors
/// The sentence that does not hold.
pub fn check_collective<C: Collective + Sync>(members: &[C]) -> Check {
    let n = members.len();
    for (i, member) in members.iter().enumerate() {
        if (member.rank(), member.world_size()) != (i, n) {
            let (rank, size) = (member.rank(), member.world_size());
            return Err(format!("member {i} of {n} says it is {rank} of {size}"));
        }
    }
    let key = Key::from_seed(2024);
    let tree = |i: usize| sample_tree(key.child(Label::Sample(i as u64)), DType::F64).map_err(say);
    let mut want = tree(0)?;
    let mut size = want.norm().map_err(say)?;
    for i in 1..n {
        want = want.add_scaled(1.0, &tree(i)?).map_err(say)?;
        size += tree(i)?.norm().map_err(say)?;
    }
    let sums = on_each(members, |i, member| member.all_reduce_sum(tree(i)?).map_err(say))?;
    let again = on_each(members, |i, member| member.all_reduce_sum(tree(i)?).map_err(say))?;
    let distance = |a: &Tree, b: &Tree| a.add_scaled(-1.0, b).and_then(|d| d.norm()).map_err(say);
    for (i, (sum, again)) in sums.iter().zip(&again).enumerate() {
        want.check_like(sum).map_err(|e| format!("a sum keeps the structure: {e}"))?;
        if !within(distance(sum, &want)?, 1e-14 * size) {
            return Err(format!("what process {i} gets is the sum of everyone's tree"));
        }
        if distance(sum, &sums[0])? != 0.0 {
            return Err(format!("process {i} gets the same bits as the first"));
        }
        if distance(sum, again)? != 0.0 {
            return Err(format!("process {i} gets the same bits in a repetition"));
        }
    }
    let mine = |i: usize| (i as u64 + 1).to_le_bytes();
    let heard = on_each(members, |i, member| {
        let mut bytes = mine(i);
        member.broadcast(&mut bytes).map_err(say)?;
        Ok(bytes)
    })?;
    if let Some(i) = heard.iter().position(|bytes| *bytes != mine(0)) {
        return Err(format!("after a broadcast process {i} holds the bytes of the first"));
    }
    let agreed = on_each(members, |_, member| member.agree_on(key).map_err(say))?;
    if !agreed.iter().all(|agreed| *agreed) {
        return Err("processes agree on a key that all hold".into());
    }
    let last = key.child(Label::Step(1));
    let other = on_each(members, |i, member| {
        member.agree_on(if i + 1 == n { last } else { key }).map_err(say)
    })?;
    if 1 < n && other.iter().any(|agreed| *agreed) {
        return Err("no process agrees on a key that another does not hold".into());
    }
    Ok(())
}

/// Runs `f` on every member at the same time.
fn on_each<C: Collective + Sync, R: Send>(
    members: &[C],
    f: impl Fn(usize, &C) -> Result<R, String> + Sync,
) -> Result<Vec<R>, String> {
    std::thread::scope(|scope| {
        let f = &f;
        let threads: Vec<_> = members
            .iter()
            .enumerate()
            .map(|(i, member)| scope.spawn(move || f(i, member)))
            .collect();
        let ended = |thread: std::thread::ScopedJoinHandle<'_, Result<R, String>>| {
            thread.join().unwrap_or_else(|_| Err("no member panics".into()))
        };
        threads.into_iter().map(ended).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier, Mutex};

    use super::*;
    use crate::collective::SingleProcess;
    use crate::error::Result;

    /// What each member put down last, and when all have.
    type Table = (Barrier, Mutex<Vec<Option<Item>>>);
    type Item = (Tree, u64, Vec<u8>);

    /// What is wrong with a group.
    #[derive(Clone, Copy, PartialEq)]
    enum Fault {
        Nothing,
        /// Each adds its own tree first.
        Order,
        /// Keys are not compared.
        Keys,
        /// Bytes are not handed on.
        Bytes,
    }

    /// Threads that put what they have on a table.
    struct Member {
        rank: usize,
        table: Arc<Table>,
        fault: Fault,
    }

    fn group(n: usize, fault: Fault) -> Vec<Member> {
        let table = Arc::new((Barrier::new(n), Mutex::new(vec![None; n])));
        (0..n).map(|rank| Member { rank, table: table.clone(), fault }).collect()
    }

    impl Member {
        fn exchange(&self, item: Item) -> Vec<Item> {
            let (barrier, table) = &*self.table;
            table.lock().unwrap()[self.rank] = Some(item);
            barrier.wait();
            let all = table.lock().unwrap().iter().flatten().cloned().collect();
            barrier.wait();
            all
        }
    }

    impl Collective for Member {
        fn rank(&self) -> usize {
            self.rank
        }
        fn world_size(&self) -> usize {
            self.table.1.lock().unwrap().len()
        }
        fn all_reduce_sum(&self, tree: Tree) -> Result<Tree> {
            let mut trees: Vec<Tree> =
                self.exchange((tree, 0, vec![])).into_iter().map(|i| i.0).collect();
            if self.fault == Fault::Order {
                trees.rotate_left(self.rank);
            }
            let mut sum = trees.remove(0);
            for tree in trees {
                sum = sum.add_scaled(1.0, &tree)?;
            }
            Ok(sum)
        }
        fn agree_on(&self, key: Key) -> Result<bool> {
            let all = self.exchange((Tree::new(), key.fingerprint(), vec![]));
            Ok(self.fault == Fault::Keys || all.iter().all(|item| item.1 == all[0].1))
        }
        fn broadcast(&self, bytes: &mut [u8]) -> Result<()> {
            let all = self.exchange((Tree::new(), 0, bytes.to_vec()));
            if self.fault != Fault::Bytes {
                bytes.copy_from_slice(&all[0].2);
            }
            Ok(())
        }
    }

    #[test]
    fn groups_of_threads_and_of_one_conform() {
        check_collective(&[SingleProcess]).unwrap();
        for n in 1..4 {
            check_collective(&group(n, Fault::Nothing)).unwrap();
        }
    }

    #[test]
    fn groups_that_break_a_promise_are_caught() {
        let caught = |members: &[Member], words: &str| {
            let error = check_collective(members).unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        caught(&group(3, Fault::Order), "the same bits as the first");
        caught(&group(3, Fault::Bytes), "after a broadcast process 1 holds");
        caught(&group(3, Fault::Keys), "no process agrees");
        caught(&group(3, Fault::Nothing)[1..], "says it is 1 of 3");
        assert!(check_collective(&[SingleProcess, SingleProcess]).is_err());
    }
}
