//! Reading PTX: text to tokens ([`lexer`]), tokens to declarations and statements ([`parser`],
//! [`syntax`]), and one kernel with all that it calls to flat code that a warp can run ([`lower`],
//! [`kernel`]). Which instructions there are is known to [`crate::instructions`] alone.
//!
//! Any text gives a module or an error with the line it is about, never a panic.

pub mod fatbin;
pub mod kernel;
pub mod lexer;
pub mod lower;
pub mod parser;
pub mod syntax;
pub mod types;
