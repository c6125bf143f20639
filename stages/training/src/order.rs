//! Which clips an epoch sees, and in which order.

use rand::seq::SliceRandom as _;

use crate::seed::{Purpose, rng};

/// The clips of an epoch, as positions in the list of training clips (`classes[i]`: the class of position `i`).
///
/// Plain: every clip once, shuffled. Balanced: as many draws, but the classes take turns (in a new order each round) and
/// each class deals its shuffled clips again and again, so that a rare class is seen as often as a frequent one.
pub(crate) fn epoch_order(seed: u64, epoch: u64, classes: &[usize], balanced: bool) -> Vec<usize> {
    let mut rng = rng(seed, Purpose::Order, &[epoch]);
    if !balanced {
        let mut order: Vec<usize> = (0..classes.len()).collect();
        order.shuffle(&mut rng);
        return order;
    }
    let count = classes.iter().max().map_or(0, |largest| largest + 1);
    let mut members = vec![Vec::new(); count];
    for (position, class) in classes.iter().enumerate() {
        members[*class].push(position);
    }
    members.retain(|of_class| !of_class.is_empty());
    let mut decks = vec![Vec::new(); members.len()];
    let mut turns: Vec<usize> = (0..members.len()).collect();
    let mut order = Vec::with_capacity(classes.len());
    while order.len() < classes.len() {
        turns.shuffle(&mut rng);
        for class in &turns {
            let deck = &mut decks[*class];
            if deck.is_empty() {
                deck.extend_from_slice(&members[*class]);
                deck.shuffle(&mut rng);
            }
            order.extend(deck.pop());
        }
    }
    order.truncate(classes.len());
    order
}

/// Steps of an epoch: full batches only, as in the reference (`drop_last`); the clips left over come in another epoch.
/// With fewer clips than one batch, one step of what there is.
pub(crate) fn steps_per_epoch(clips: usize, batch_size: usize) -> usize {
    (clips / batch_size).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clip_once_in_another_order_each_epoch() {
        let classes = vec![0; 100];
        let (one, two) = (epoch_order(1, 0, &classes, false), epoch_order(1, 1, &classes, false));
        assert_ne!(one, two);
        assert_eq!(one, epoch_order(1, 0, &classes, false), "the same again");
        assert_ne!(one, epoch_order(2, 0, &classes, false), "the seed counts");
        let mut sorted = one;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn balanced_draws_give_each_class_its_turn_and_tire_no_clip() {
        // 90 clips of class 0, 10 of class 2, none of class 1
        let classes: Vec<usize> = (0..100).map(|i| if i < 90 { 0 } else { 2 }).collect();
        let order = epoch_order(7, 3, &classes, true);
        assert_eq!(order.len(), 100);
        assert_eq!(order.iter().filter(|position| classes[**position] == 2).count(), 50);
        for rare in 90..100 {
            assert_eq!(order.iter().filter(|position| **position == rare).count(), 5, "clip {rare}");
        }
    }

    #[test]
    fn only_full_batches() {
        assert_eq!(steps_per_epoch(8646, 64), 135);
        assert_eq!(steps_per_epoch(64, 64), 1);
        assert_eq!(steps_per_epoch(3, 64), 1);
    }
}
