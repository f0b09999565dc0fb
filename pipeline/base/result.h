#pragma once

#include <string>
#include <utility>
#include <variant>

#include "pipeline/base/check.h"

namespace takt {

/// What went wrong, and who must act: the first letter of `code` says so.
///   C config: its author.  D data: its owner.  E outside: we retry, within limits.  F limit or bug: stop, keep our
///   place.
struct Error {
    std::string code;     ///< for example "C104"; each has a page in docs/reference/errors.md
    std::string message;  ///< one sentence with the fact, the place and, where known, what to do

    std::string text() const { return code + ": " + message; }
};

/// A value or an Error. No exception crosses an interface of takt.
template <typename T>
class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }

    T& value() & {
        CHECK(ok());
        return std::get<0>(state_);
    }
    const T& value() const& {
        CHECK(ok());
        return std::get<0>(state_);
    }
    T&& value() && {
        CHECK(ok());
        return std::get<0>(std::move(state_));
    }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    const Error& error() const {
        CHECK(!ok());
        return std::get<1>(state_);
    }

  private:
    std::variant<T, Error> state_;
};

/// Success or an Error.
class [[nodiscard]] Status {
  public:
    Status() = default;
    Status(Error error) : error_(std::move(error)), ok_(false) {}

    bool ok() const { return ok_; }
    explicit operator bool() const { return ok_; }
    const Error& error() const {
        CHECK(!ok_);
        return error_;
    }

  private:
    Error error_;
    bool ok_ = true;
};

}  // namespace takt
