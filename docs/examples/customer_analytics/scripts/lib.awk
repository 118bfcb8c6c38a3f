# What the steps share: parameters, files, CSV, dates, money. POSIX awk, nothing more.

# ---- parameters and results

# Returns a parameter of the step; a step without one is configured wrongly (EX_CONFIG, never retried).
function parameter(name) {
    if (!(("step_" name) in ENVIRON)) fail(78, "the parameter `" name "` is missing")
    return ENVIRON["step_" name]
}

# Ends the step with an exit code that says whether trying again makes sense.
function fail(code, message) {
    print message > "/dev/stderr"
    exit code
}

# Says a part of the step's result; what was never counted is 0.
function say(name, value) {
    printf "%s\"%s\": %s", (said++ ? ", " : ""), name, (value == "" ? 0 : value)
}

function say_path(name, file) {
    say(name, json(parameter("output") "/" file))
}

# Returns the place where a file is written; step.sh moves it beside the step's main file.
function place(file) {
    return parameter("work") "/" file
}

# Returns the place of the step's main file.
function main_place(    file) {
    file = parameter("target")
    sub(/.*\//, "", file)
    return place(file)
}

# ---- text

function json(text) {
    gsub(/\\/, "\\\\", text)
    gsub(/"/, "\\\"", text)
    return "\"" text "\""
}

function html(text) {
    gsub(/&/, "\\&amp;", text)
    gsub(/</, "\\&lt;", text)
    gsub(/>/, "\\&gt;", text)
    gsub(/"/, "\\&quot;", text)
    return text
}

function trim(text) {
    gsub(/^[ \t]+|[ \t\r]+$/, "", text)
    return text
}

# ---- CSV

# Opens a file, checks its header, and says how many columns it has. `next_row` reads on.
function open(file, header,    line, got) {
    got = (getline line < file)
    if (got < 0) fail(66, "`" file "` cannot be read")
    sub(/\r$/, "", line)
    if (line != header) fail(65, "`" file "` begins with `" line "`, but the columns must be `" header "`")
    row_number[file] = 1
    return split(header, opened, ",")
}

# Reads the next row into row[1], row[2] ...; returns how many fields it has, 0 at the end.
function next_row(file,    got) {
    got = (getline row_line < file)
    if (got < 0) fail(74, "`" file "` cannot be read to its end")
    if (got == 0) {
        close(file)
        return 0
    }
    row_number[file]++
    sub(/\r$/, "", row_line)
    return fields(row_line, row)
}

# Splits a line of CSV; a field in quotes may hold commas and doubled quotes. The fields are texts: add 0 to compare
# them as numbers.
function fields(line, into,    count, end, field) {
    split("", into)
    if (index(line, "\"") == 0) return split(line, into, ",")
    for (;;) {
        if (substr(line, 1, 1) == "\"") {
            field = ""
            line = substr(line, 2)
            for (;;) {
                end = index(line, "\"")
                if (end == 0) {
                    field = field line
                    line = ""
                    break
                }
                field = field substr(line, 1, end - 1)
                line = substr(line, end + 1)
                if (substr(line, 1, 1) != "\"") break
                field = field "\""
                line = substr(line, 2)
            }
            into[++count] = field
            if (substr(line, 1, 1) != ",") return count
            line = substr(line, 2)
        } else {
            end = index(line, ",")
            if (end == 0) {
                into[++count] = line
                return count
            }
            into[++count] = substr(line, 1, end - 1)
            line = substr(line, end + 1)
        }
    }
}

# Returns a text as a field of CSV.
function quoted(text) {
    if (text !~ /[",]/) return text
    gsub(/"/, "\"\"", text)
    return "\"" text "\""
}

# ---- dates

# Returns a date as YYYY-MM-DD, or nothing if it is none. DD/MM/YYYY is what the old shop writes.
function iso_date(text,    part) {
    if (text ~ /^[0-9][0-9]\/[0-9][0-9]\/[0-9][0-9][0-9][0-9]$/) {
        split(text, part, "/")
        text = part[3] "-" part[2] "-" part[1]
    }
    if (text !~ /^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]$/) return ""
    split(text, part, "-")
    if (part[2] < 1 || part[2] > 12 || part[3] < 1 || part[3] > days_in(part[1], part[2])) return ""
    return text
}

function days_in(year, month) {
    if (month == 2) return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31
}

# Returns the days since a fixed day long ago.
function day_number(date,    part, year, month) {
    split(date, part, "-")
    year = part[1] + 0
    month = part[2] + 0
    if (month < 3) {
        year--
        month += 12
    }
    return 365 * year + int(year / 4) - int(year / 100) + int(year / 400) + int((153 * (month - 3) + 2) / 5) + part[3]
}

# Returns the months since a fixed month long ago.
function month_number(date,    part) {
    split(date, part, "-")
    return part[1] * 12 + part[2] - 1
}

function month_name(number,    name) {
    split("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", name, " ")
    return name[number % 12 + 1] " " int(number / 12)
}

# ---- money, in whole cents

# Returns the cents of a price, or nothing if it is none.
function to_cents(text,    part, count) {
    sub(/,/, ".", text)
    if (text !~ /^[0-9]+(\.[0-9][0-9]?)?$/) return ""
    count = split(text, part, ".")
    return part[1] * 100 + (count > 1 ? substr(part[2] "0", 1, 2) : 0)
}

function from_cents(amount,    sign) {
    if (amount < 0) {
        sign = "-"
        amount = -amount
    }
    return sign int(amount / 100) "." sprintf("%02d", amount % 100)
}

# Returns an amount for people: whole dollars, with commas.
function dollars(amount,    sign) {
    if (amount < 0) {
        sign = "-"
        amount = -amount
    }
    return sign "$" thousands(int(amount / 100 + 0.5))
}

function thousands(number) {
    return number < 1000 ? number "" : thousands(int(number / 1000)) "," sprintf("%03d", number % 1000)
}

function rounded(number) {
    return number < 0 ? -int(-number + 0.5) : int(number + 0.5)
}

# Returns a share in per cent, with one decimal.
function percent(part, whole,    tenths) {
    tenths = whole ? rounded(part * 1000 / whole) : 0
    return (tenths < 0 ? "-" : "") int((tenths < 0 ? -tenths : tenths) / 10) "." ((tenths < 0 ? -tenths : tenths) % 10)
}

# ---- order

# Sorts the keys in keys[1..count] by value[key], the highest first, ties by key.
function sort_by(keys, count, value,    gap, i, j, key) {
    for (gap = int(count / 2); gap > 0; gap = int(gap / 2)) {
        for (i = gap + 1; i <= count; i++) {
            key = keys[i]
            for (j = i; j > gap && before(key, keys[j - gap], value); j -= gap) keys[j] = keys[j - gap]
            keys[j] = key
        }
    }
}

function before(a, b, value) {
    if (value[a] + 0 != value[b] + 0) return value[a] + 0 > value[b] + 0
    return (a "") < (b "")
}
