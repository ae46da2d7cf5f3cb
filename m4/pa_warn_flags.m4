# SPDX-License-Identifier: MIT
# PA_WARN_FLAGS
# -------------
# Collect in WARN_CFLAGS the warning flags that this compiler knows.
AC_DEFUN([PA_WARN_TRY], [
  AS_VAR_PUSHDEF([pa_var], [pa_cv_warn_$1])
  AC_CACHE_CHECK([whether $CC knows $1], [pa_var], [
    pa_saved=$CFLAGS
    CFLAGS="$CFLAGS -Werror $1"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
      [AS_VAR_SET([pa_var], [yes])], [AS_VAR_SET([pa_var], [no])])
    CFLAGS=$pa_saved])
  AS_VAR_IF([pa_var], [yes], [WARN_CFLAGS="$WARN_CFLAGS $1"])
  AS_VAR_POPDEF([pa_var])])

AC_DEFUN([PA_WARN_FLAGS], [
  WARN_CFLAGS=
  m4_foreach_w([pa_flag], [-Wall -Wextra -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wold-style-definition -Wvla -Wundef -Wpointer-arith
    -Wwrite-strings -Wimplicit-fallthrough -Wformat=2
    -Wno-missing-field-initializers],
    [PA_WARN_TRY(m4_defn([pa_flag]))])
  AS_IF([test "x$enable_werror" = xyes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"])
  AC_SUBST([WARN_CFLAGS])])
