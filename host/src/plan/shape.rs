//! The shape of a run: over how many boxes, processes and threads it is spread.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::PlanError;
use crate::typed;

/// A process takes tens of milliseconds to start, and some MiB. More than this on one machine is a typing error.
pub const MAX_PROCESSES: u32 = 1_000;

/// Boxes of a run. One controller and one server suffice for a thousand.
pub const MAX_BOXES: u32 = 1_000;

/// An instance takes six memory mappings, and a process may have 65,530.
pub const MAX_THREADS: u32 = 10_000;

/// On how many boxes, how many processes on each, and how many threads in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32, u32)", into = "(u32, u32, u32)")]
pub struct Shape {
    /// Machines; one, if the run takes place on this one.
    pub boxes: u32,
    /// Worker processes on each box.
    pub processes: u32,
    /// Threads in each worker process.
    pub threads: u32,
}

impl Shape {
    /// A shape within what one machine can run, on one box.
    pub fn new(processes: u32, threads: u32) -> Result<Self, PlanError> {
        Self::over(1, processes, threads)
    }

    /// A shape whose part on each box is within what one machine can run.
    pub fn over(boxes: u32, processes: u32, threads: u32) -> Result<Self, PlanError> {
        if !(1..=MAX_BOXES).contains(&boxes) {
            return Err(PlanError::Boxes(boxes));
        }
        if !(1..=MAX_PROCESSES).contains(&processes) {
            return Err(PlanError::Processes(processes));
        }
        if !(1..=MAX_THREADS).contains(&threads) {
            return Err(PlanError::Threads(threads));
        }
        Ok(Self { boxes, processes, threads })
    }

    /// Worker processes on all boxes together.
    pub fn workers(self) -> u32 {
        self.boxes * self.processes
    }
}

impl TryFrom<(u32, u32, u32)> for Shape {
    type Error = PlanError;

    fn try_from((boxes, processes, threads): (u32, u32, u32)) -> Result<Self, PlanError> {
        Self::over(boxes, processes, threads)
    }
}

impl From<Shape> for (u32, u32, u32) {
    fn from(shape: Shape) -> Self {
        (shape.boxes, shape.processes, shape.threads)
    }
}

impl FromStr for Shape {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let error = || PlanError::Shape(text.to_owned());
        // What the error of `ungrouped` suggests is a fraction.
        let given = typed::ungrouped(text).map_err(|_| error())?;
        let number = |part: &str| part.trim().parse().map_err(|_| error());
        match given.split(['x', 'X']).map(number).collect::<Result<Vec<u32>, _>>()?[..] {
            [processes, threads] => Self::new(processes, threads),
            [boxes, processes, threads] => Self::over(boxes, processes, threads),
            _ => Err(error()),
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.boxes > 1 {
            write!(f, "{}x", self.boxes)?;
        }
        write!(f, "{}x{}", self.processes, self.threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        for (text, shape) in [
            ("1x1", Ok((1, 1))),
            ("4x10", Ok((4, 10))),
            ("2X8", Ok((2, 8))),
            ("0x1", Err(PlanError::Processes(0))),
            ("1x0", Err(PlanError::Threads(0))),
            ("1001x1", Err(PlanError::Processes(1001))),
            ("4", Err(PlanError::Shape("4".into()))),
            ("4x", Err(PlanError::Shape("4x".into()))),
            ("axb", Err(PlanError::Shape("axb".into()))),
            ("1,5x2", Err(PlanError::Shape("1,5x2".into()))),
        ] {
            assert_eq!(text.parse::<Shape>().map(|s| (s.processes, s.threads)), shape, "{text}");
        }
        let three = Shape { boxes: 3, processes: 4, threads: 10 };
        assert_eq!("3x4x10".parse(), Ok(three));
        assert_eq!((three.to_string(), three.workers()), ("3x4x10".into(), 12));
        assert_eq!("0x4x10".parse::<Shape>(), Err(PlanError::Boxes(0)));
        assert_eq!("1x2x3x4".parse::<Shape>(), Err(PlanError::Shape("1x2x3x4".into())));
    }
}
