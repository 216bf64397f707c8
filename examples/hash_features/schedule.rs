//! When the learning rate falls, and when the training ends.

/// Divides the learning rate by 10 on a plateau and ends the training on the last one.
///
/// Watched is the *objective*, the mean over an epoch of both terms that the update follows:
///
/// ```text
/// objective = mean of (cos(x1, x2) - cos(b1, b2))^2  +  gamma / 2 * mean of (U - B)^2
/// ```
///
/// The first term alone, the loss of the paper, is no guide: with gamma 6 the second one gives most
/// of the gradient, and the loss can rise while retrieval improves. The sum needs no labels either.
pub struct Plateau {
    lr: f32,
    best: f64,
    epochs_without_gain: u32,
    drops_left: u32,
}

/// Epochs without a gain that make a plateau.
const PATIENCE: u32 = 10;
/// A gain is at least this share of the best objective so far.
const GAIN: f64 = 1e-4;
/// Learning rates after the first: the plateau of the last one ends the training.
const DROPS: u32 = 2;

impl Plateau {
    pub fn new(lr: f32) -> Self {
        Self { lr, best: f64::INFINITY, epochs_without_gain: 0, drops_left: DROPS }
    }

    /// Learning rate of the next epoch after one with this `objective`, or `None`: stop.
    pub fn next_lr(&mut self, objective: f64) -> Option<f32> {
        if objective < self.best * (1.0 - GAIN) {
            self.best = objective;
            self.epochs_without_gain = 0;
            return Some(self.lr);
        }
        self.epochs_without_gain += 1;
        if self.epochs_without_gain < PATIENCE {
            return Some(self.lr);
        }
        self.drops_left = self.drops_left.checked_sub(1)?;
        self.epochs_without_gain = 0;
        self.lr /= 10.0;
        Some(self.lr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_objective_keeps_the_learning_rate() {
        let mut plateau = Plateau::new(0.1);
        for epoch in 0..100 {
            assert_eq!(plateau.next_lr(1.0 / f64::from(epoch + 1)), Some(0.1));
        }
    }

    #[test]
    fn each_plateau_divides_by_ten_and_the_last_one_stops() {
        let mut plateau = Plateau::new(1.0);
        assert_eq!(plateau.next_lr(2.0), Some(1.0));
        // 2 - 1e-5 is no gain: less than 1e-4 of 2.
        for lr in [1.0, 0.1, 0.01] {
            for _ in 1..PATIENCE {
                assert_eq!(plateau.next_lr(2.0 - 1e-5), Some(lr));
            }
            let next = if lr == 0.01 { None } else { Some(lr / 10.0) };
            assert_eq!(plateau.next_lr(2.0 - 1e-5), next);
        }
    }

    #[test]
    fn a_gain_starts_the_count_anew() {
        let mut plateau = Plateau::new(1.0);
        for step in 0..20 {
            for _ in 1..PATIENCE {
                assert_eq!(plateau.next_lr(100.0 - f64::from(step)), Some(1.0));
            }
        }
    }
}
