#include "volume/copy_benchmark.h"

#include <sys/xattr.h>

#include <filesystem>

#include "volume/volume.h"

namespace exshadow {

namespace {

Task<Status> sync_once(Volume& volume, CopyBenchmark benchmark, std::shared_ptr<Job> job) {
    AddPlexOptions target;
    target.path = benchmark.target;
    target.label = "target";
    target.overwrite = true;
    auto attaching = volume.attach_plex(target);
    const auto label = co_await std::move(attaching);
    if (!label.ok()) co_return label.error();
    auto syncing = volume.sync_plex(*label, 0, job);
    co_return co_await std::move(syncing);
}

// A plex of a volume would be taken for a stranger's afterwards.
Status refuse_plex(const std::string& path) {
    if (::getxattr(path.c_str(), tag_attribute, nullptr, 0) < 0) return {};
    return Error(Code::refused, path + " is a plex of a volume", "measure with files made for it");
}

// Nothing of us stays behind.
void tidy(const CopyBenchmark& benchmark) {
    std::error_code ignored;
    std::filesystem::remove(benchmark.volume_file, ignored);
    for (const std::string& path : {benchmark.source, benchmark.target}) {
        static_cast<void>(::removexattr(path.c_str(), tag_attribute));
    }
}

}  // namespace

Task<Status> run_copy_benchmark(Loop& loop, CopyBenchmark benchmark, std::shared_ptr<Job> job) {
    std::error_code ignored;
    if (std::filesystem::equivalent(benchmark.source, benchmark.target, ignored)) {
        co_return Error(Code::invalid, "source and target are the same file");
    }
    EXSHADOW_CO_TRY(refuse_plex(benchmark.source));
    EXSHADOW_CO_TRY(refuse_plex(benchmark.target));
    CreateOptions create_options;
    create_options.name = "benchmark";
    create_options.plex_path = benchmark.source;
    create_options.plex_label = "source";
    VolumeOptions options;
    options.direct = benchmark.direct;
    options.copy_depth = benchmark.depth;
    auto creating = Volume::create(loop, benchmark.volume_file, create_options, options);
    auto volume = co_await std::move(creating);
    if (!volume.ok()) co_return volume.error();
    auto syncing = sync_once(**volume, benchmark, job);
    Status status = co_await std::move(syncing);
    auto closing = (*volume)->close();
    const Status closed = co_await std::move(closing);
    if (status.ok()) status = closed;
    tidy(benchmark);
    co_return status;
}

}  // namespace exshadow
