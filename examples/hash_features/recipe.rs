//! What a training run is told.

/// How U becomes B.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// +1 for the larger half of each column of the batch
    BiHalf,
    /// +1 where U > 0
    Sign,
}

impl Method {
    /// In tables and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::BiHalf => "bihalf",
            Self::Sign => "sign",
        }
    }

    /// The option that sets its gamma.
    pub fn gamma_option(self) -> &'static str {
        match self {
            Self::BiHalf => "--gamma",
            Self::Sign => "--sign-gamma",
        }
    }

    /// The files of a training run with it, in the folder for results.
    pub fn files(self) -> [String; 2] {
        let name = self.name();
        [format!("{name}.safetensors"), format!("{name}_database_codes.npy")]
    }
}

/// The numbers of the authors' release are in brackets.
#[derive(Debug, Clone)]
pub struct Recipe {
    pub method: Method,
    /// columns of U and B
    pub bits: usize,
    /// rows of U and B [32]
    pub batch: usize,
    /// at most; see [`Plateau`](crate::schedule::Plateau)
    pub epochs: u32,
    /// of the first epochs, for inputs of norm 1 [1e-4, for features as they are]
    pub lr: f32,
    /// [0.9]
    pub momentum: f32,
    /// times the weight, added to its gradient [5e-4]
    pub weight_decay: f32,
    /// pull of U towards B, divided by their number of elements [6; in the paper 3]
    pub gamma: f64,
    /// of the first weights and the order of the rows
    pub seed: u64,
}
