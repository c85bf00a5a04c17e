#include "vss/win32/answers.h"
#include "vss/win32/examine.h"

namespace exshadow::vss::win32 {

namespace {

// VSS_COMPONENTINFO, which its component frees.
class ComponentInfo {
public:
    ComponentInfo(Answers& answers, IVssWMComponent& component) : component_(component) {
        if (!answers.need(component.GetComponentInfo(&info_))) info_ = nullptr;
    }
    ComponentInfo(const ComponentInfo&) = delete;
    ComponentInfo& operator=(const ComponentInfo&) = delete;
    ~ComponentInfo() {
        if (info_ != nullptr) component_.FreeComponentInfo(info_);
    }
    explicit operator bool() const { return info_ != nullptr; }
    const VSS_COMPONENTINFO* operator->() const { return info_; }

private:
    IVssWMComponent& component_;
    PVSSCOMPONENTINFO info_ = nullptr;
};

std::string text_of(BSTR text) {
    return text == nullptr ? std::string() : utf8(std::wstring_view(text, SysStringLen(text)));
}

std::string base64(const unsigned char* bytes, std::size_t size) {
    static constexpr std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (std::size_t at = 0; at < size; at += 3) {
        const std::size_t have = size - at < 3 ? size - at : 3;
        std::uint32_t word = 0;
        for (std::size_t i = 0; i < 3; ++i) word = word << 8U | (i < have ? bytes[at + i] : 0U);
        for (std::size_t i = 0; i < 4; ++i) {
            if (i > have) {
                out += '=';
            } else {
                out += digits[word >> (18 - 6 * i) & 0x3FU];
            }
        }
    }
    return out;
}

template <class Object, class Interface>
void read_file_sets(Answers& answers, std::vector<FileSet>& out, UINT count, Object& object,
                    HRESULT (STDMETHODCALLTYPE Interface::*getter)(UINT, IVssWMFiledesc**)) {
    for (UINT i = 0; i < count; ++i) {
        if (const auto files = answers.element(&object, getter, i))
            out.push_back(read_file_set(answers, *files.get()));
    }
}

Dependency read_dependency(Answers& answers, IVssWMDependency& dependency) {
    Dependency out;
    out.writer_id = uuid(answers.needed_value(&dependency, &IVssWMDependency::GetWriterId));
    out.logical_path = answers.text(&dependency, &IVssWMDependency::GetLogicalPath);
    out.name = answers.needed_text(&dependency, &IVssWMDependency::GetComponentName);
    return out;
}

ComponentMetadata read_component(Answers& answers, IVssWMComponent& component) {
    ComponentMetadata out;
    const ComponentInfo info(answers, component);
    if (!info) return out;
    out.type = static_cast<ComponentType>(info->type);
    out.logical_path = text_of(info->bstrLogicalPath);
    out.name = text_of(info->bstrComponentName);
    out.caption = text_of(info->bstrCaption);
    if (info->pbIcon != nullptr) out.icon = base64(info->pbIcon, info->cbIcon);
    out.restore_metadata = info->bRestoreMetadata != 0;
    out.notify_on_backup_complete = info->bNotifyOnBackupComplete != 0;
    out.selectable = info->bSelectable != 0;
    out.selectable_for_restore = info->bSelectableForRestore != 0;
    out.flags = static_cast<ComponentFlags>(info->dwComponentFlags);
    read_file_sets(answers, out.files, info->cFileCount, component, &IVssWMComponent::GetFile);
    read_file_sets(answers, out.database_files, info->cDatabases, component,
                   &IVssWMComponent::GetDatabaseFile);
    read_file_sets(answers, out.database_logs, info->cLogFiles, component,
                   &IVssWMComponent::GetDatabaseLogFile);
    for (UINT i = 0; i < info->cDependencies; ++i) {
        if (const auto one = answers.element(&component, &IVssWMComponent::GetDependency, i))
            out.dependencies.push_back(read_dependency(answers, *one.get()));
    }
    return out;
}

void read_identity(Answers& answers, WriterMetadata& out, IVssExamineWriterMetadata& writer,
                   IVssExamineWriterMetadataEx* newer) {
    VSS_ID instance{};
    VSS_ID id{};
    Bstr name;
    Bstr instance_name;
    VSS_USAGE_TYPE usage = VSS_UT_UNDEFINED;
    VSS_SOURCE_TYPE source = VSS_ST_UNDEFINED;
    const HRESULT result = newer != nullptr ? newer->GetIdentityEx(&instance, &id, name.out(),
                                                                   instance_name.out(), &usage, &source)
                                            : writer.GetIdentity(&instance, &id, name.out(), &usage, &source);
    if (!answers.need(result)) return;
    out.instance_id = uuid(instance);
    out.writer_id = uuid(id);
    out.name = name.text();
    out.instance_name = instance_name.text();
    out.usage = static_cast<UsageType>(usage);
    out.source = static_cast<SourceType>(source);
}

void read_restore_method(Answers& answers, WriterMetadata& out, IVssExamineWriterMetadata& writer) {
    VSS_RESTOREMETHOD_ENUM method = VSS_RME_UNDEFINED;
    VSS_WRITERRESTORE_ENUM restore = VSS_WRE_UNDEFINED;
    Bstr service;
    Bstr procedure;
    OutFlag reboot;
    UINT mappings = 0;
    const HRESULT result =
        writer.GetRestoreMethod(&method, service.out(), procedure.out(), &restore, reboot, &mappings);
    if (!answers.take(result) || result == S_FALSE) return;  // S_FALSE: the writer says nothing of restores
    RestoreMethodMetadata read;
    read.method = static_cast<RestoreMethod>(method);
    read.service = service.text();
    read.user_procedure = procedure.text();
    read.writer_restore = static_cast<WriterRestore>(restore);
    read.reboot_required = reboot.value();
    for (UINT i = 0; i < mappings; ++i) {
        const auto files =
            answers.element(&writer, &IVssExamineWriterMetadata::GetAlternateLocationMapping, i);
        if (!files) continue;
        LocationMapping mapping;
        mapping.files = read_file_set(answers, *files.get());
        mapping.destination = std::exchange(mapping.files.alternate_path, {});
        read.mappings.push_back(std::move(mapping));
    }
    out.restore_method = std::move(read);
}

}  // namespace

FileSet read_file_set(Answers& answers, IVssWMFiledesc& files) {
    FileSet out;
    out.path = answers.needed_text(&files, &IVssWMFiledesc::GetPath);
    out.spec = answers.needed_text(&files, &IVssWMFiledesc::GetFilespec);
    out.recursive = answers.value(&files, &IVssWMFiledesc::GetRecursive) != 0;
    out.alternate_path = answers.text(&files, &IVssWMFiledesc::GetAlternateLocation);
    out.backup_type = static_cast<FileSpecBackupType>(
        answers.value(&files, &IVssWMFiledesc::GetBackupTypeMask, static_cast<DWORD>(standard_backup_type)));
    return out;
}

Result<WriterMetadata> read_metadata(IVssExamineWriterMetadata& writer) {
    ComPtr<IVssExamineWriterMetadata> held;
    writer.AddRef();
    *held.out() = &writer;
    const auto ex = held.as<IVssExamineWriterMetadataEx>();
    const auto ex2 = held.as<IVssExamineWriterMetadataEx2>();

    Answers answers("reading a writer's metadata");
    WriterMetadata out;
    read_identity(answers, out, writer, ex.get());
    out.schema =
        static_cast<BackupSchema>(answers.value(&writer, &IVssExamineWriterMetadata::GetBackupSchema));
    UINT included = 0;
    UINT excluded = 0;
    UINT components = 0;
    answers.need(writer.GetFileCounts(&included, &excluded, &components));
    for (UINT i = 0; i < components; ++i) {
        if (const auto one = answers.element(&writer, &IVssExamineWriterMetadata::GetComponent, i))
            out.components.push_back(read_component(answers, *one.get()));
    }
    read_file_sets(answers, out.excluded, excluded, writer, &IVssExamineWriterMetadata::GetExcludeFile);
    read_restore_method(answers, out, writer);
    if (ex2) {
        DWORD major = 0;
        DWORD minor = 0;
        if (answers.take(ex2->GetVersion(&major, &minor))) {
            out.major_version = major;
            out.minor_version = minor;
        }
        const UINT count =
            answers.value(ex2.get(), &IVssExamineWriterMetadataEx2::GetExcludeFromSnapshotCount);
        read_file_sets(answers, out.excluded_from_snapshot, count, *ex2.get(),
                       &IVssExamineWriterMetadataEx2::GetExcludeFromSnapshotFile);
    }
    EXSHADOW_TRY(answers.status());
    return out;
}

}  // namespace exshadow::vss::win32
