//! The processor time that the cgroups of a process allow it, in versions 1 and 2.
//!
//! Pure: texts of `/proc` go in, and files are read through a function.

use std::path::{Component, Path, PathBuf};

/// How many processors' time the process may use; `None` without a limit. Every cgroup above the process can have a
/// limit, and the lowest one counts.
///
/// `own` is the text of `/proc/self/cgroup`, `mounts` that of `/proc/self/mountinfo`; `read` reads a file of a cgroup.
pub(super) fn cpu_limit(own: &str, mounts: &str, read: impl Fn(&Path) -> Option<String>) -> Option<f64> {
    let (version, directories) = directories(own, mounts)?;
    directories.iter().filter_map(|directory| version.limit(directory, &read)).min_by(f64::total_cmp)
}

/// The files that tell how long the process's cgroups were throttled: its own, and those above it that can be
/// throttled.
pub(super) fn stat_files(own: &str, mounts: &str, read: impl Fn(&Path) -> Option<String>) -> Option<Vec<PathBuf>> {
    let (_, directories) = directories(own, mounts)?;
    let files = directories.iter().map(|directory| directory.join("cpu.stat"));
    Some(files.filter(|file| read(file).is_some_and(|text| throttled_ns(&text).is_some())).collect())
}

/// How long a cgroup was throttled, by the text of its `cpu.stat`: nanoseconds in version 1, microseconds in version 2.
pub(super) fn throttled_ns(stat: &str) -> Option<u64> {
    let figure = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    figure("throttled_time ").or_else(|| figure("throttled_usec ")?.checked_mul(1_000))
}

/// The directories of the process's cgroup and of those above it, and their version.
fn directories(own: &str, mounts: &str) -> Option<(Version, Vec<PathBuf>)> {
    let (version, path) = membership(own)?;
    let mount = mounts.lines().filter_map(Mount::parse).find(|mount| mount.holds(version))?;
    Some((version, mount.directories(path)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    /// The limit in the files of one cgroup.
    fn limit(self, directory: &Path, read: impl Fn(&Path) -> Option<String>) -> Option<f64> {
        let file = |name: &str| read(&directory.join(name));
        let (quota, period) = match self {
            Self::V1 => (file("cpu.cfs_quota_us")?, file("cpu.cfs_period_us")?),
            Self::V2 => {
                let both = file("cpu.max")?;
                let (quota, period) = both.trim().split_once(' ')?;
                (quota.to_owned(), period.to_owned())
            }
        };
        // Without a limit the quota is `max` or -1, neither of which is a number here.
        let (quota, period) = (quota.trim().parse::<u64>().ok()?, period.trim().parse::<u64>().ok()?);
        (period > 0).then(|| quota as f64 / period as f64)
    }
}

/// The version that controls the process's processor time, and the path of its cgroup there. If both versions are
/// mounted, version 1 has the controller that it names.
fn membership(own: &str) -> Option<(Version, &str)> {
    let lines = || own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let v1 = lines().find(|(controllers, _)| controllers.split(',').any(|name| name == "cpu"));
    let v2 = lines().find(|(controllers, _)| controllers.is_empty());
    v1.map(|(_, path)| (Version::V1, path)).or(v2.map(|(_, path)| (Version::V2, path)))
}

/// A line of `/proc/self/mountinfo`.
struct Mount<'a> {
    /// The cgroup that is mounted; in a container it is often not the root.
    root: PathBuf,
    point: PathBuf,
    file_system: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        // Optional fields end with a dash.
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (unescaped(place.next()?), unescaped(place.next()?));
        let mut kind = kind.split(' ');
        let (file_system, options) = (kind.next()?, kind.nth(1)?);
        Some(Self { root, point, file_system, options })
    }

    fn holds(&self, version: Version) -> bool {
        match version {
            Version::V1 => self.file_system == "cgroup" && self.options.split(',').any(|option| option == "cpu"),
            Version::V2 => self.file_system == "cgroup2",
        }
    }

    /// The directories of the cgroup at `path` and of all above it that are visible here.
    fn directories(&self, path: &str) -> Vec<PathBuf> {
        let path = Path::new(path);
        // A container may see the path that its cgroup has outside. Then what is mounted is the container's cgroup.
        let below = path.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let names: Vec<_> = below.components().filter(|part| matches!(part, Component::Normal(_))).collect();
        let is_visible = !below.components().any(|part| part == Component::ParentDir);
        let deepest = if is_visible { names.len() } else { 0 };
        (0..=deepest).map(|depth| self.point.join(names[..depth].iter().collect::<PathBuf>())).collect()
    }
}

/// A path of `/proc/self/mountinfo`, where the kernel writes spaces and the like in octal.
fn unescaped(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|octal| u8::from_str_radix(octal, 8).ok()) {
            Some(byte) => path.extend([char::from(byte)].into_iter().chain(part[3..].chars())),
            None => path.extend(['\\'].into_iter().chain(part.chars())),
        }
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "24 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
                      31 24 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "30 24 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n\
                      33 30 0:29 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n\
                      34 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n";
    const OWN_V1: &str =
        "12:memory:/docker/4f\n4:cpu,cpuacct:/docker/4f\n3:cpuset:/docker/4f\n0::/system.slice/docker.service\n";

    /// The limit, and the files that hold it: pairs of a path and a text.
    fn limit(own: &str, mounts: &str, files: &[(&str, &str)]) -> Option<f64> {
        cpu_limit(own, mounts, |path| {
            files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of machines and their files")]
    fn limits_of_several_machines() {
        let in_docker_v1 = V1.replace("0:30 / ", "0:30 /docker/4f ");
        let hybrid = format!("{V1}35 30 0:31 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
        let spaced = V2.replace("/sys/fs/cgroup", "/mnt/my\\040groups");
        for (what, own, mounts, files, wanted) in [
            (
                "a host without a limit",
                "0::/user.slice/session-1.scope\n",
                V2,
                &[
                    ("/sys/fs/cgroup/user.slice/cpu.max", "max 100000\n"),
                    ("/sys/fs/cgroup/user.slice/session-1.scope/cpu.max", "max 100000\n"),
                ][..],
                None,
            ),
            ("a container of version 2", "0::/\n", V2, &[("/sys/fs/cgroup/cpu.max", "150000 100000\n")], Some(1.5)),
            (
                "a nested cgroup with the lower limit above it",
                "0::/a.slice/b.scope\n",
                V2,
                &[
                    ("/sys/fs/cgroup/a.slice/cpu.max", "50000 100000\n"),
                    ("/sys/fs/cgroup/a.slice/b.scope/cpu.max", "200000 100000\n"),
                ],
                Some(0.5),
            ),
            (
                "a nested cgroup with the lower limit in it",
                "0::/kubepods.slice/pod1/c1\n",
                V2,
                &[
                    ("/sys/fs/cgroup/kubepods.slice/cpu.max", "max 100000\n"),
                    ("/sys/fs/cgroup/kubepods.slice/pod1/cpu.max", "400000 100000\n"),
                    ("/sys/fs/cgroup/kubepods.slice/pod1/c1/cpu.max", "25000 50000\n"),
                ],
                Some(0.5),
            ),
            (
                "a process outside of its namespace",
                "0::/../../init.scope\n",
                V2,
                &[("/sys/fs/cgroup/cpu.max", "300000 100000\n")],
                Some(3.0),
            ),
            (
                "a host of version 1",
                "4:cpu,cpuacct:/user.slice\n",
                V1,
                &[
                    ("/sys/fs/cgroup/cpu,cpuacct/user.slice/cpu.cfs_quota_us", "-1\n"),
                    ("/sys/fs/cgroup/cpu,cpuacct/user.slice/cpu.cfs_period_us", "100000\n"),
                ],
                None,
            ),
            (
                "a container of version 1 that sees its path outside",
                OWN_V1,
                V1,
                &[
                    ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n"),
                    ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
                ],
                Some(2.5),
            ),
            (
                "a container of version 1 with only its own cgroup",
                OWN_V1,
                &in_docker_v1,
                &[
                    ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "75000\n"),
                    ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "50000\n"),
                ],
                Some(1.5),
            ),
            (
                "both versions, of which version 1 has the controller",
                OWN_V1,
                &hybrid,
                &[
                    ("/sys/fs/cgroup/unified/cpu.max", "900000 100000\n"),
                    ("/sys/fs/cgroup/cpu,cpuacct/docker/4f/cpu.cfs_quota_us", "100000\n"),
                    ("/sys/fs/cgroup/cpu,cpuacct/docker/4f/cpu.cfs_period_us", "100000\n"),
                ],
                Some(1.0),
            ),
            (
                "a mount point with a space",
                "0::/\n",
                &spaced,
                &[("/mnt/my groups/cpu.max", "100000 100000\n")],
                Some(1.0),
            ),
            ("another controller of version 1", "9:cpuset:/a\n", V1, &[], None),
            ("a file that says nothing", "0::/\n", V2, &[("/sys/fs/cgroup/cpu.max", "\n")], None),
            ("a period of zero", "0::/\n", V2, &[("/sys/fs/cgroup/cpu.max", "100000 0\n")], None),
            ("no cgroups", "", "", &[], None),
            ("texts of another kind", "12\n::\n:\n", "a - b\n - \n1 2 3 4 5 - cgroup2\n", &[], None),
        ] {
            assert_eq!(limit(own, mounts, files), wanted, "{what}");
        }
    }

    #[test]
    fn time_of_throttling() {
        let v1 = "nr_periods 120\nnr_throttled 7\nthrottled_time 350000000\n";
        let v2 = "usage_usec 9\nnr_periods 120\nnr_throttled 7\nthrottled_usec 350000\nnr_bursts 0\n";
        assert_eq!((throttled_ns(v1), throttled_ns(v2)), (Some(350_000_000), Some(350_000_000)));
        // The root of version 2 cannot be throttled, and its file says nothing about it.
        assert_eq!((throttled_ns("usage_usec 9\n"), throttled_ns("throttled_usec x\n")), (None, None));
        let files = stat_files("0::/a/b\n", V2, |path| {
            let is_root = path == Path::new("/sys/fs/cgroup/cpu.stat");
            Some(if is_root { "usage_usec 9\n" } else { v2 }.to_owned())
        });
        let wanted = ["/sys/fs/cgroup/a/cpu.stat", "/sys/fs/cgroup/a/b/cpu.stat"].map(PathBuf::from);
        assert_eq!(files, Some(wanted.to_vec()));
    }
}
