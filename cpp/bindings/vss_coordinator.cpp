#include "bindings/vss_coordinator.h"

namespace exshadow::python {

namespace {

std::vector<NativeVolume> open_volumes(const EngineHost& engine) {
    std::vector<NativeVolume> found;
    for (const auto& one : engine.volumes_now()) {
        if (!one->closed()) found.push_back({one->name, one});
    }
    return found;
}

Task<Status> quieten(std::shared_ptr<NativeProvider> provider) {
    auto closing = provider->close();
    co_await std::move(closing);
    co_return Status{};
}

Status wait_free(const std::shared_ptr<Pending<Status>>& pending) {
    while (!pending->wait_for(std::chrono::seconds(1))) continue;
    return pending->result();
}

}  // namespace

std::optional<std::string> volume_of(const PathTable& table, std::string_view path) {
    const std::pair<std::string, std::string>* best = nullptr;
    for (const auto& one : table) {
        if (path == one.second) return one.second;
        const std::string_view place = one.first;
        const bool below = path.starts_with(place) &&
                           (path.size() == place.size() || place.ends_with('/') || path[place.size()] == '/');
        if (below && (best == nullptr || place.size() > best->first.size())) best = &one;
    }
    return best == nullptr ? std::nullopt : std::optional(best->second);
}

Status CoordinatorHome::begin(vss::CoordinatorOptions options) {
    if (!engine_) {
        host_ = std::make_unique<vss::CoordinatorHost>(std::move(options));
        return {};
    }
    {
        const std::lock_guard lock(closing_);  // the engine waits for us as soon as it knows us
        EXSHADOW_TRY(engine_->attach([self = shared_from_this()] { self->close(); }));
        NativeProviderOptions choice;
        choice.volumes = [engine = engine_.get()] { return open_volumes(*engine); };
        choice.machine = options.machine;
        provider_ = std::make_shared<NativeProvider>(engine_->loop(), std::move(choice));
        host_ = std::make_unique<vss::CoordinatorHost>(engine_->loop(), std::move(options));
    }
    auto begun = add_engine();
    if (!begun.ok()) close();
    return begun;
}

Status CoordinatorHome::add_engine() {
    EXSHADOW_TRY(
        wait_free(engine_->start<Status>([provider = provider_] { return provider->delete_orphans(); })));
    return host_->register_provider(std::shared_ptr<vss::Provider>(provider_));
}

void CoordinatorHome::close() {
    if (!usable()) return static_cast<void>(host_.release());
    const std::lock_guard lock(closing_);
    if (closed_) return;
    closed_ = true;
    if (host_) host_->close();
    if (!engine_) return;
    // The loop's thread is the provider's last owner.
    auto quiet =
        engine_->start<Status>([provider = std::exchange(provider_, nullptr)] { return quieten(provider); });
    static_cast<void>(wait_free(quiet));
    engine_->detach();
}

CoordinatorHandle::CoordinatorHandle(vss::CoordinatorOptions options,
                                     const std::shared_ptr<EngineHost>& engine, PathTable paths)
    : paths_(std::make_shared<const PathTable>(std::move(paths))),
      home_(std::make_shared<CoordinatorHome>(engine)) {
    if (!paths_->empty()) {
        options.volume_of_path = [table = paths_](std::string_view path) {
            return volume_of(*table, path).value_or("");
        };
    }
    options.observe = [record = record_](const vss::Callback& callback) { record->add(callback); };
    options.trouble = [troubles = troubles_](const Error& trouble) { troubles->add(trouble); };
    Status begun;
    {
        const py::gil_scoped_release release;
        begun = home_->begin(std::move(options));
    }
    raise_vss_if(begun);
}

void CoordinatorHandle::close() {
    if (PyGILState_Check() == 0) return home_->close();
    const py::gil_scoped_release release;
    home_->close();
}

Result<std::unique_ptr<vss::Requestor>> CoordinatorHandle::new_requestor(std::function<bool()> interrupted) {
    if (home_->closed() || !home_->usable()) return closed_error();
    return home_->host().new_requestor(std::move(interrupted));
}

Error CoordinatorHandle::closed_error() const {
    if (!home_->usable())
        return Error(Code::closed, "the coordinator belongs to the parent process",
                     "make a new one after fork");
    return Error(Code::closed, "the coordinator is closed", "make a new one");
}

}  // namespace exshadow::python
