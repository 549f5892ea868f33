//! The throw-away Python environments: one for PyTorch and Opacus, one for JAX-Privacy, and those of other benchmarks.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    Error, Peer, Result,
    process::{Line, Running, in_words},
};

const WORKER_SCRIPT: &str = "worker.py";
/// The scripts that run inside the environments, written beside them.
const SCRIPTS: [(&str, &str); 5] = [
    (WORKER_SCRIPT, include_str!("../../peers/worker.py")),
    ("tasks.py", include_str!("../../peers/tasks.py")),
    ("torch_peer.py", include_str!("../../peers/torch_peer.py")),
    ("jax_peer.py", include_str!("../../peers/jax_peer.py")),
    (STUBS_SCRIPT, STUBS),
];
const STUBS_SCRIPT: &str = "stubs.py";
const STUBS: &str = include_str!("../../peers/stubs.py");
/// The environment of PyTorch and Opacus, which two benchmarks share.
const TORCH_NAME: &str = "venv";
const TORCH: &str = include_str!("../../peers/requirements-torch.txt");
const JAX: &str = include_str!("../../peers/requirements-jax.txt");

const INTERPRETERS: [&str; 2] = ["python3", "python"];
/// The oldest Python for which the pinned packages exist.
const MIN_PYTHON: (u32, u32) = (3, 11);
const MIN_PYTHON_NAME: &str = "3.11";

const SHORT: Duration = Duration::from_secs(180);
/// For downloads of half a gigabyte on a slow line.
const INSTALL: Duration = Duration::from_secs(1800);

/// Python environments with pinned versions of the peers.
#[derive(Debug)]
pub struct Environment {
    scripts: PathBuf,
    /// The interpreter, or why there is none.
    torch: Result<PathBuf>,
    jax: Result<PathBuf>,
}

impl Environment {
    /// Makes the environments in `folder` (`venv`, `venv-jax` and `worker`), or finds them there.
    ///
    /// They are complete once their requirements are noted inside; one that is not, or that was made
    /// for other versions, is removed and made again. `progress` gets a line for each thing done.
    /// The first time this downloads about 0.8 GB with `pip` as the user has set it up; afterwards
    /// it needs no network.
    ///
    /// # Errors
    /// [`Error::NoPython`], [`Error::OldPython`] or [`Error::File`]. Packages that cannot be installed
    /// are no error here: see [`Environment::absent`].
    pub fn prepare(folder: &Path, mut progress: impl FnMut(&str)) -> Result<Self> {
        let python = find_python(&INTERPRETERS)?;
        let scripts = folder.join("worker");
        write_scripts(&scripts, &SCRIPTS)?;
        let mut install = |name: &str, requirements: &str, with_stubs: bool| {
            let venv = Venv { folder: folder.join(name), scripts: &scripts };
            venv.prepare(&python, requirements, with_stubs, &mut progress)
        };
        let torch = install(TORCH_NAME, TORCH, true);
        let jax = install("venv-jax", JAX, false);
        Ok(Environment { scripts, torch, jax })
    }

    /// The peers that could not be installed, with the reason.
    pub fn absent(&self) -> impl Iterator<Item = (Peer, &Error)> {
        Peer::ALL
            .into_iter()
            .filter_map(|peer| self.interpreter(peer).as_ref().err().map(|error| (peer, error)))
    }

    /// Whether `peer` can be measured.
    pub fn has(&self, peer: Peer) -> bool {
        self.interpreter(peer).is_ok()
    }

    /// The interpreter for `peer`.
    pub(super) fn python(&self, peer: Peer) -> Result<&Path> {
        match self.interpreter(peer) {
            Ok(python) => Ok(python),
            Err(error) => Err(Error::Absent { peer, reason: error.to_string() }),
        }
    }

    /// The worker's script.
    pub(super) fn script(&self) -> PathBuf {
        self.scripts.join(WORKER_SCRIPT)
    }

    fn interpreter(&self, peer: Peer) -> &Result<PathBuf> {
        match peer {
            Peer::JaxPrivacy => &self.jax,
            Peer::Torch | Peer::OpacusHooks | Peer::OpacusGhost => &self.torch,
        }
    }
}

/// A Python environment of another benchmark, with the scripts that run in it.
#[derive(Debug)]
pub(crate) struct Scripts {
    python: PathBuf,
    folder: PathBuf,
}

impl Scripts {
    /// Makes the environment `name` in `folder` with the complete list of `requirements`, or finds it there, and writes
    /// the scripts to the folder `NAME-scripts` beside it.
    ///
    /// # Errors
    /// As [`Environment::prepare`]; also those of the installation.
    pub(crate) fn prepare(
        folder: &Path,
        name: &str,
        requirements: &str,
        scripts: &[(&str, &str)],
        mut progress: impl FnMut(&str),
    ) -> Result<Self> {
        let python = find_python(&INTERPRETERS)?;
        let scripts_folder = folder.join(format!("{name}-scripts"));
        write_scripts(&scripts_folder, scripts)?;
        let venv = Venv { folder: folder.join(name), scripts: &scripts_folder };
        let python = venv.prepare(&python, requirements, false, &mut progress)?;
        Ok(Scripts { python, folder: scripts_folder })
    }

    /// The environment of PyTorch and Opacus with other scripts, which go to the folder `NAME-scripts`.
    ///
    /// # Errors
    /// As [`Scripts::prepare`].
    pub(crate) fn prepare_torch(
        folder: &Path,
        name: &str,
        script: (&str, &str),
        mut progress: impl FnMut(&str),
    ) -> Result<Self> {
        let python = find_python(&INTERPRETERS)?;
        let scripts_folder = folder.join(format!("{name}-scripts"));
        write_scripts(&scripts_folder, &[script, (STUBS_SCRIPT, STUBS)])?;
        let venv = Venv { folder: folder.join(TORCH_NAME), scripts: &scripts_folder };
        let python = venv.prepare(&python, TORCH, true, &mut progress)?;
        Ok(Scripts { python, folder: scripts_folder })
    }

    /// A command that runs one of the scripts.
    pub(crate) fn command(&self, script: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg("-B").arg(self.folder.join(script));
        command
    }
}

/// One virtual environment.
struct Venv<'a> {
    folder: PathBuf,
    scripts: &'a Path,
}

impl Venv<'_> {
    fn python(&self) -> PathBuf {
        if cfg!(windows) {
            self.folder.join("Scripts").join("python.exe")
        } else {
            self.folder.join("bin").join("python")
        }
    }

    fn prepare(
        &self,
        python: &str,
        requirements: &str,
        with_stubs: bool,
        progress: &mut dyn FnMut(&str),
    ) -> Result<PathBuf> {
        let stamp = self.folder.join("complete.txt");
        let content =
            if with_stubs { format!("{requirements}\n{STUBS}") } else { requirements.to_owned() };
        let is_complete = fs::read_to_string(&stamp).is_ok_and(|found| found == content);
        // The second part: the system may have replaced the interpreter it was made with.
        if is_complete && self.python().exists() {
            return Ok(self.python());
        }
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).map_err(|source| self.file_error(source))?;
        }
        progress("making a virtual environment for Python");
        let mut command = Command::new(python);
        command.args(["-m", "venv"]).arg(&self.folder);
        run("making a virtual environment with pip", &mut command, SHORT, &mut |_| ())?;

        let list = self.folder.join("requirements.txt");
        write(&list, requirements)?;
        let mut command = Command::new(self.python());
        command
            .args(["-m", "pip", "install", "--no-deps", "--only-binary", ":all:", "--no-input"])
            .args(["--disable-pip-version-check", "--progress-bar", "off", "-r"])
            .arg(&list);
        let mut collected = |line: &str| {
            if line.starts_with("Collecting") || line.starts_with("Installing") {
                progress(line.split(" (from").next().unwrap_or(line));
            }
        };
        run("installing the pinned packages with pip", &mut command, INSTALL, &mut collected)?;

        if with_stubs {
            let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
            let mut command = Command::new(self.python());
            command.arg("-B").arg(self.scripts.join(STUBS_SCRIPT)).arg(compiler);
            run("building stand-ins for GPU libraries", &mut command, SHORT, progress)?;
        }
        write(&stamp, &content)?;
        Ok(self.python())
    }

    fn file_error(&self, source: std::io::Error) -> Error {
        Error::File { file: self.folder.clone(), source }
    }
}

/// The first of `names` that runs, if it is recent enough.
fn find_python(names: &[&str]) -> Result<String> {
    let mut too_old = None;
    for &name in names {
        let output = Command::new(name)
            .args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
            .stdin(Stdio::null())
            .output();
        let Ok(output) = output else { continue };
        let got = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match version(&got) {
            Some(version) if MIN_PYTHON <= version => return Ok(name.to_owned()),
            Some(_) => {
                let python = name.to_owned();
                too_old.get_or_insert(Error::OldPython { python, min: MIN_PYTHON_NAME, got });
            }
            None => {}
        }
    }
    let tried = names.iter().map(|&name| name.to_owned()).collect();
    Err(too_old.unwrap_or(Error::NoPython { tried, min: MIN_PYTHON_NAME }))
}

/// `3.11` as numbers.
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn write_scripts(folder: &Path, scripts: &[(&str, &str)]) -> Result<()> {
    fs::create_dir_all(folder).map_err(|source| Error::File { file: folder.to_owned(), source })?;
    scripts.iter().try_for_each(|(name, content)| write(&folder.join(name), content))
}

/// Writes a file of the environment; one that is already so is left alone.
fn write(file: &Path, content: &str) -> Result<()> {
    if fs::read_to_string(file).is_ok_and(|found| found == content) {
        return Ok(());
    }
    report::atomic::write(file, content.as_bytes()).map_err(|error| Error::File {
        file: file.to_owned(),
        source: std::io::Error::other(error),
    })
}

/// Runs `command` to its end, handing each line of its stdout to `each_line`.
fn run(
    step: &'static str,
    command: &mut Command,
    limit: Duration,
    each_line: &mut dyn FnMut(&str),
) -> Result<()> {
    let start = Instant::now();
    for name in ["PYTHONPATH", "PYTHONHOME"] {
        command.env_remove(name);
    }
    let mut running =
        Running::start(command).map_err(|source| Error::Start { what: step.to_owned(), source })?;
    let left = || limit.saturating_sub(start.elapsed());
    while let Line::Text(line) = running.line(left()) {
        each_line(&line);
    }
    match running.wait(left()) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(None) => Err(Error::StepTimeout { step, limit, stderr: running.stderr_tail() }),
        ended => {
            let status = in_words(ended);
            Err(Error::Step { step, status, stderr: running.stderr_tail() })
        }
    }
}
