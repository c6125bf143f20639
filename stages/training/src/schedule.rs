//! The learning rate of a step: a linear warm-up, then a decay by steps.

use serde::{Deserialize, Serialize};

/// The learning rate as a function of the step.
///
/// As in the reference example: `linspace(1e-10, peak, warm_steps)[t]` while `t < warm_steps`; from then on, whenever `t`
/// is a multiple of `decay_steps`, the rate is multiplied by `decay`, or by 0.95 once it is at most 1e-6. With the
/// reference's 3e-4, 2000, 2000 and 0.8 the first decay falls on the first step after the warm-up: 2.4e-4.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The rate at the end of the warm-up, > 0.
    pub peak: f64,
    /// Steps of the warm-up; 0: none.
    pub warm_steps: u64,
    /// Steps between two decays; 0: no decay.
    pub decay_steps: u64,
    /// Factor of a decay, in (0, 1].
    pub decay: f64,
}

/// The rate of the very first step of a warm-up.
const START: f64 = 1e-10;
/// From this rate on the decay is [`SLOW_DECAY`].
const SLOW_BELOW: f64 = 1e-6;
const SLOW_DECAY: f64 = 0.95;

impl Schedule {
    /// The learning rate of step `step`, counted from 0 over the whole run.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warm_steps {
            // as numpy's linspace: its last value is the end itself, not a sum that comes close
            return if step + 1 == self.warm_steps {
                self.peak
            } else {
                START + step as f64 * ((self.peak - START) / (self.warm_steps - 1) as f64)
            };
        }
        if self.decay_steps == 0 {
            return self.peak;
        }
        // Decays that fall into the warm-up are overwritten by its next step; step 0 is none.
        let before = self.warm_steps.max(1).div_ceil(self.decay_steps) - 1;
        let mut rate = self.peak;
        for _ in before..step / self.decay_steps {
            rate *= if rate <= SLOW_BELOW { SLOW_DECAY } else { self.decay };
        }
        rate
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "the very same numbers are meant")]
    use super::*;

    const REFERENCE: Schedule = Schedule { peak: 3e-4, warm_steps: 2000, decay_steps: 2000, decay: 0.8 };

    /// The reference's way of doing it: a rate that is set or multiplied at each step.
    fn by_steps(schedule: &Schedule, steps: u64) -> Vec<f64> {
        let mut rate = schedule.peak;
        let mut rates = Vec::new();
        for step in 0..steps {
            if step < schedule.warm_steps {
                let n = schedule.warm_steps;
                let last = step + 1 == n;
                rate =
                    if last { schedule.peak } else { 1e-10 + step as f64 * ((schedule.peak - 1e-10) / (n - 1) as f64) };
            } else if step > 0 && schedule.decay_steps > 0 && step % schedule.decay_steps == 0 {
                rate *= if rate <= 1e-6 { 0.95 } else { schedule.decay };
            }
            rates.push(rate);
        }
        rates
    }

    #[test]
    fn the_reference_numbers() {
        assert_eq!(REFERENCE.rate(0), 1e-10);
        assert_eq!(REFERENCE.rate(1999), 3e-4);
        assert!((REFERENCE.rate(2000) - 2.4e-4).abs() < 1e-12);
        assert!(REFERENCE.rate(50_000) > 1e-6);
        assert!(REFERENCE.rate(52_000) <= 1e-6, "26 decays");
        let slow = REFERENCE.rate(54_000) / REFERENCE.rate(53_999);
        assert!((slow - 0.95).abs() < 1e-12, "{slow}");
    }

    #[test]
    fn it_is_what_stepping_through_gives() {
        for (warm_steps, decay_steps) in [(2000, 2000), (0, 300), (100, 7), (7, 100), (1, 1), (30, 0), (250, 100)] {
            let schedule = Schedule { peak: 1e-3, warm_steps, decay_steps, decay: 0.8 };
            for (step, expected) in by_steps(&schedule, 6000).into_iter().enumerate() {
                assert_eq!(schedule.rate(step as u64), expected, "warm {warm_steps} decay {decay_steps} step {step}");
            }
        }
    }
}
