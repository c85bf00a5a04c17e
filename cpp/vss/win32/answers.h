// Reading an object by many small getters: the first failure is kept. Some may have no answer (take, text,
// value); others must have one (need and its kind): who an object is, how many parts it has and each of them.
// Without these a component would be missing and nobody would know.
#pragma once

#include <windows.h>

#include <string>
#include <string_view>
#include <type_traits>

#include "base/error.h"
#include "vss/win32/owned.h"

namespace exshadow::vss::win32 {

class Answers {
public:
    explicit Answers(std::string_view object) : object_(object) {}

    // Was the call answered? A failure that means "there is none here" (the getters of a restore in a backup,
    // of a newer interface in an older writer) is only no answer.
    bool take(HRESULT result) {
        const bool absent = code(result) == HResult::vss_e_bad_state ||
                            code(result) == HResult::vss_e_object_not_found || result == E_NOTIMPL;
        return absent ? false : need(result);
    }
    // The same where an object without the answer is none at all.
    bool need(HRESULT result) {
        if (SUCCEEDED(result)) return true;
        if (SUCCEEDED(first_)) first_ = result;
        return false;
    }
    [[nodiscard]] Status status() const { return check(first_, object_); }

    template <class Object, class Interface>
    std::string text(Object* object, HRESULT (STDMETHODCALLTYPE Interface::*getter)(BSTR*)) {
        Bstr text;
        return take((object->*getter)(text.out())) ? text.text() : std::string();
    }
    template <class Object, class Interface>
    std::string needed_text(Object* object, HRESULT (STDMETHODCALLTYPE Interface::*getter)(BSTR*)) {
        Bstr text;
        return need((object->*getter)(text.out())) ? text.text() : std::string();
    }
    // A number, an enumerator, a flag (bool or boolean): what the getter's argument points to.
    template <class Object, class Interface, class Value>
    Value value(Object* object, HRESULT (STDMETHODCALLTYPE Interface::*getter)(Value*), Value absent = {}) {
        Value value = absent;
        return take((object->*getter)(&value)) ? value : absent;
    }
    template <class Object, class Interface, class Value>
    Value needed_value(Object* object, HRESULT (STDMETHODCALLTYPE Interface::*getter)(Value*)) {
        Value value{};
        return need((object->*getter)(&value)) ? value : Value{};
    }
    // Element `index` of a list of objects, which must be there; empty when it could not be read.
    template <class Object, class Interface, class Element>
    ComPtr<Element> element(Object* object, HRESULT (STDMETHODCALLTYPE Interface::*getter)(UINT, Element**),
                            UINT index) {
        ComPtr<Element> element;
        if (!need((object->*getter)(index, element.out()))) element.reset();
        return element;
    }

private:
    std::string object_;
    HRESULT first_ = S_OK;
};

}  // namespace exshadow::vss::win32
