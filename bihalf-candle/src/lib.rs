//! bihalf for candle.
