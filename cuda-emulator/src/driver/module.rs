//! Modules: an image is read, its variables get addresses, its kernels are lowered when they are asked
//! for.

use super::device::DEFAULT_SHARED;
use super::error::*;
use super::function::Function;
use super::{Handle, State, Status, current, set, text, with_context};
use crate::machine::memory::{Side, state};
use crate::ptx::fatbin;
use crate::ptx::lower::lower;
use crate::ptx::parser::parse;
use crate::ptx::syntax::{Initializer, Module as Ptx, Variable};
use crate::ptx::types::Space;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;
use std::time::Instant;

pub struct Module {
    pub context: Handle,
    ptx: Ptx,
    /// per kernel, where the image had machine code for this device
    registers: HashMap<String, u32>,
    /// addresses of variables
    globals: HashMap<String, u64>,
    functions: HashMap<String, Handle>,
    /// the module whose kernels take the place of those of the same name: CUDAEMU_PTX
    instead: Option<Handle>,
}

/// Says why something was refused.
fn refuse(status: Status, why: impl std::fmt::Display) -> Status {
    eprintln!("cudaemu: {why}");
    status
}

impl State {
    /// Loads an image. `len` is known for files only: cuModuleLoadData is given no length, so a
    /// container in memory is as long as its header says and a text ends at its first zero byte.
    ///
    /// # Safety
    /// `image` is null or points to an image of that length.
    unsafe fn load_image(
        &mut self,
        image: *const c_void,
        len: Option<usize>,
    ) -> Result<Handle, Status> {
        if image.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        if let Some(error) = self.options.load_error {
            return Err(refuse(error, "the module is refused, as CUDAEMU_LOAD_ERROR says"));
        }
        let bytes = image as *const u8;
        // four bytes at least: a shorter text is no PTX, and may end with its zero
        let mut magic = [0u8; 4];
        for (i, b) in magic.iter_mut().enumerate() {
            if len.is_some_and(|n| i >= n) {
                break;
            }
            *b = *bytes.add(i);
            if *b == 0 {
                break;
            }
        }
        if magic == fatbin::ELF {
            let why =
                "this is a cubin, machine code only; the emulator runs PTX or a fatbin with PTX";
            return Err(refuse(CUDA_ERROR_NO_BINARY_FOR_GPU, why));
        }
        if magic == fatbin::MAGIC {
            let size = match len {
                Some(n) => Ok(n),
                None => fatbin::size(&*(bytes as *const [u8; fatbin::HEADER])),
            };
            let image = size.map(|n| std::slice::from_raw_parts(bytes, n));
            return self.load_fatbin(image);
        }
        let text = match len {
            Some(n) => {
                std::slice::from_raw_parts(bytes, n).split(|&b| b == 0).next().unwrap_or(&[])
            }
            None => CStr::from_ptr(bytes as *const c_char).to_bytes(),
        };
        match std::str::from_utf8(text) {
            Ok(text) if text.contains(".version") => self.load(text, HashMap::new()),
            _ => Err(refuse(CUDA_ERROR_INVALID_IMAGE, "the module is neither PTX nor a fatbin")),
        }
    }

    fn load_fatbin(&mut self, image: Result<&[u8], fatbin::Refused>) -> Result<Handle, Status> {
        let capability = self.options.capability;
        match image.and_then(|image| fatbin::choose(image, capability)) {
            Ok(chosen) if chosen.ptx.contains(".version") => {
                self.load(chosen.ptx, chosen.registers)
            }
            Ok(_) => {
                Err(refuse(CUDA_ERROR_INVALID_IMAGE, "fatbin: a PTX entry holds something else"))
            }
            Err(fatbin::Refused::Malformed(why)) => Err(refuse(CUDA_ERROR_INVALID_IMAGE, why)),
            Err(fatbin::Refused::NothingUsable(why)) => {
                Err(refuse(CUDA_ERROR_NO_BINARY_FOR_GPU, why))
            }
        }
    }

    /// Loads PTX, and before it that of CUDAEMU_PTX.
    fn load(&mut self, text: &str, registers: HashMap<String, u32>) -> Result<Handle, Status> {
        let mut instead = None;
        if let Some(file) = self.options.ptx.clone() {
            let other = std::fs::read_to_string(&file).map_err(|e| {
                refuse(CUDA_ERROR_FILE_NOT_FOUND, format!("CUDAEMU_PTX={file}: {e}"))
            })?;
            instead = Some(self.load_ptx(&other, HashMap::new(), None)?);
        }
        self.load_ptx(text, registers, instead)
    }

    fn load_ptx(
        &mut self,
        text: &str,
        registers: HashMap<String, u32>,
        instead: Option<Handle>,
    ) -> Result<Handle, Status> {
        let (context, start) = (current(), Instant::now());
        let ptx = parse(text)
            .map_err(|e| refuse(CUDA_ERROR_INVALID_PTX, format!("cannot read the PTX: {e}")))?;
        if ptx.version > (9, 9) || ptx.version.0 == 0 {
            let why = format!("PTX of version {}.{}", ptx.version.0, ptx.version.1);
            return Err(refuse(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, why));
        }
        let capability = self.options.capability;
        if ptx.capability() > capability {
            let target = &ptx.target;
            let why = format!(
                "PTX for {target} on a device of compute capability {capability} (CUDAEMU_CC)"
            );
            return Err(refuse(CUDA_ERROR_NO_BINARY_FOR_GPU, why));
        }
        // variables first, then their initial values, which may name one another
        let side = Side::Device(self.device_of(context));
        let mut globals = HashMap::new();
        for v in &ptx.variables {
            if v.space == Space::Shared || (v.is_extern && v.size == 0) {
                continue;
            }
            let address = self.memory.allocate(side, v.size, v.align, "module", context);
            globals.insert(v.name.clone(), address.ok_or(CUDA_ERROR_OUT_OF_MEMORY)?);
        }
        for v in &ptx.variables {
            if let Some(&address) = globals.get(&v.name) {
                self.initialize(v, address, &globals);
            }
        }
        let handle = self.new_handle();
        let functions = HashMap::new();
        self.modules
            .insert(handle, Module { context, ptx, registers, globals, functions, instead });
        if self.options.verbose {
            eprintln!("cudaemu: module read in {:?}", start.elapsed());
        }
        Ok(handle)
    }

    /// Gives a variable its initial value; what has none is zero.
    fn initialize(&mut self, v: &Variable, address: u64, globals: &HashMap<String, u64>) {
        let mut bytes = vec![0u8; v.size as usize];
        for (element, value) in bytes.chunks_exact_mut(v.element as usize).zip(&v.init) {
            let value = match *value {
                Initializer::Integer(x) => match v.ty.as_str() {
                    "f32" => (x as i64 as f32).to_bits() as u64,
                    "f64" => (x as i64 as f64).to_bits(),
                    _ => x,
                },
                Initializer::F32(x) => x as u64,
                Initializer::F64(x) if v.element == 4 => {
                    (f64::from_bits(x) as f32).to_bits() as u64
                }
                Initializer::F64(x) => x,
                Initializer::Symbol(ref name, offset) => match globals.get(name) {
                    Some(address) => address.wrapping_add(offset as u64),
                    None => {
                        let variable = &v.name;
                        eprintln!(
                            "cudaemu: initialiser of {variable} names {name}, which has no address here"
                        );
                        0
                    }
                },
            };
            element.copy_from_slice(&value.to_le_bytes()[..element.len()]);
        }
        // SAFETY: as many bytes were allocated there
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.memory.host(address), bytes.len());
        }
        let is_const = v.space == Space::Const;
        let bits = state::WRITTEN | if is_const { state::READ_ONLY } else { 0 };
        self.memory.add_state(address, v.size, bits);
    }

    /// The function with this name, lowered if it was not yet.
    fn function(&mut self, handle: Handle, name: &str) -> Result<Handle, Status> {
        let Some(module) = self.modules.get(&handle) else { return Err(CUDA_ERROR_INVALID_HANDLE) };
        if let Some(&function) = module.functions.get(name) {
            return Ok(function);
        }
        if let Some(other) = module.instead {
            match self.function(other, name) {
                Err(CUDA_ERROR_NOT_FOUND) => {}
                found => return found,
            }
        }
        let Some(module) = self.modules.get(&handle) else { return Err(CUDA_ERROR_INVALID_HANDLE) };
        let is_it = |f: &&_| -> bool {
            let f: &crate::ptx::syntax::Function = f;
            f.is_entry && f.name == name && f.body.is_some()
        };
        let Some(f) = module.ptx.functions.iter().find(is_it) else {
            return Err(CUDA_ERROR_NOT_FOUND);
        };
        let kernel = lower(&module.ptx, f, &module.globals)
            .map_err(|e| refuse(CUDA_ERROR_NOT_SUPPORTED, format!("kernel {name}: {e}")))?;
        let shared = kernel.static_shared;
        if shared > DEFAULT_SHARED as u64 {
            let why = format!(
                "kernel {name}: {shared} bytes of static shared memory, at most {DEFAULT_SHARED} can be declared"
            );
            return Err(refuse(CUDA_ERROR_INVALID_PTX, why));
        }
        // no instruction can name more than 255; a damaged cubin might say so
        let registers = module.registers.get(name).copied().unwrap_or(self.options.registers);
        let function = Function {
            kernel: Arc::new(kernel),
            context: module.context,
            module: handle,
            max_dynamic_shared: DEFAULT_SHARED - shared as i32,
            shared_carveout: -1,
            ptx_version: module.ptx.capability() as i32,
            registers: registers.min(255) as i32,
            cluster: [0; 3],
            is_non_portable: false,
        };
        let new = self.new_handle();
        self.functions.insert(new, function);
        if let Some(module) = self.modules.get_mut(&handle) {
            module.functions.insert(name.into(), new);
        }
        Ok(new)
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadData(module: *mut Handle, image: *const c_void) -> Status {
    with_context(|s, _| match s.load_image(image, None) {
        Ok(new) => set(module, new),
        Err(e) => e,
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadDataEx(
    module: *mut Handle,
    image: *const c_void,
    _count: c_uint,
    _options: *mut c_int,
    _values: *mut *mut c_void,
) -> Status {
    cuModuleLoadData(module, image)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadFatBinary(
    module: *mut Handle,
    image: *const c_void,
) -> Status {
    cuModuleLoadData(module, image)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoad(module: *mut Handle, file: *const c_char) -> Status {
    with_context(|s, _| {
        let Ok(image) = std::fs::read(text(file)) else { return CUDA_ERROR_FILE_NOT_FOUND };
        match s.load_image(image.as_ptr() as *const c_void, Some(image.len())) {
            Ok(new) => set(module, new),
            Err(e) => e,
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleUnload(module: Handle) -> Status {
    with_context(|s, context| {
        let e = s.drain_context(context);
        if !s.modules.contains_key(&module) {
            return CUDA_ERROR_INVALID_HANDLE;
        }
        let mut next = Some(module);
        while let Some((module, removed)) =
            next.and_then(|module| Some((module, s.modules.remove(&module)?)))
        {
            let side = Side::Device(s.device_of(removed.context));
            for address in removed.globals.values() {
                s.memory.free(side, *address);
            }
            s.functions.retain(|_, f| f.module != module);
            next = removed.instead;
        }
        e
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetFunction(
    function: *mut Handle,
    module: Handle,
    name: *const c_char,
) -> Status {
    with_context(|s, _| match s.function(module, text(name)) {
        Ok(found) => set(function, found),
        Err(e) => e,
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetFunctionCount(count: *mut c_uint, module: Handle) -> Status {
    with_context(|s, _| match s.modules.get(&module) {
        None => CUDA_ERROR_INVALID_HANDLE,
        Some(m) => set(count, m.ptx.functions.iter().filter(|f| f.is_entry).count() as u32),
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetGlobal_v2(
    address: *mut u64,
    size: *mut usize,
    module: Handle,
    name: *const c_char,
) -> Status {
    with_context(|s, _| {
        let Some(known) = s.modules.get(&module) else { return CUDA_ERROR_INVALID_HANDLE };
        let wanted = text(name);
        let (Some(&at), Some(v)) =
            (known.globals.get(wanted), known.ptx.variables.iter().find(|v| v.name == wanted))
        else {
            return CUDA_ERROR_NOT_FOUND;
        };
        if !address.is_null() {
            *address = at
        }
        if !size.is_null() {
            *size = v.size as usize
        }
        CUDA_SUCCESS
    })
}
