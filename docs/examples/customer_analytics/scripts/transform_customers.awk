# Joins orders and customers: what each person bought and how recently, the segment that makes of them, and how many
# of each month's new buyers came back.

BEGIN {
    as_of = parameter("as_of")
    if (iso_date(as_of) != as_of) fail(65, "`as_of` is `" as_of "`, but it must be a day such as 2026-10-31")
    read_customers(parameter("customers"))
    read_orders(parameter("orders"))
    score()
    write_customers()
    write_segments()
    write_cohorts()
    write_countries()

    say("people", people)
    say("buyers", buyers)
    say("unknown_customer_orders", strangers)
    say_path("segments", "segments.csv")
    say_path("cohorts", "cohorts.csv")
    say_path("countries", "countries.csv")
    exit
}

function read_customers(file) {
    open(file, "customer_id,master_id,name,email,country,signed_up_on,channel")
    while (next_row(file) > 0) {
        master[row[1]] = row[2]
        if (row[1] != row[2]) continue
        person[++people] = row[1]
        name[row[1]] = row[3]
        email[row[1]] = row[4]
        country[row[1]] = row[5]
        channel[row[1]] = row[7]
    }
}

function read_orders(file,    who, day, month, first) {
    open(file, "order_id,customer_id,sku,ordered_on,quantity,gross_cents,refund_cents,status")
    while (next_row(file) > 0) {
        if (row[4] > as_of || row[8] == "cancelled") continue
        if (!(row[2] in master)) { strangers++; continue }
        who = master[row[2]]
        if (!(who in orders)) buyer[++buyers] = who
        orders[who]++
        net[who] += row[6] - row[7]
        day = row[4]
        if (!(who in last_day) || day > last_day[who]) last_day[who] = day
        month = month_number(day)
        if (!(who in first_month) || month < first_month[who]) first_month[who] = month
        if (!((who, month) in active)) {
            active[who, month] = 1
            months[who] = months[who] " " month
        }
    }
}

# Gives each buyer 1 to 5 for recency, frequency and money: the place among all buyers, in fifths.
function score(    i, who, today) {
    today = day_number(as_of)
    for (i = 1; i <= buyers; i++) {
        who = buyer[i]
        days_ago[who] = today - day_number(last_day[who])
        recent[who] = -days_ago[who]
    }
    rank(recent, recency)
    rank(orders, frequency)
    rank(net, money)
    for (i = 1; i <= buyers; i++) {
        who = buyer[i]
        segment[who] = segment_of(recency[who], frequency[who], money[who], orders[who])
    }
}

# Equal values get equal scores: that of the first among them.
function rank(value, into,    keys, i) {
    for (i = 1; i <= buyers; i++) keys[i] = buyer[i]
    sort_by(keys, buyers, value)
    for (i = 1; i <= buyers; i++) {
        into[keys[i]] = i > 1 && value[keys[i]] == value[keys[i - 1]] ? into[keys[i - 1]] : 5 - int((i - 1) * 5 / buyers)
    }
}

function segment_of(r, f, m, count) {
    if (r >= 4 && f >= 4 && m >= 4) return "Champions"
    if (r >= 4 && count == 1) return "New"
    if (r >= 3 && f >= 3) return "Loyal"
    if (r >= 3) return "Promising"
    if (f >= 3 || m >= 4) return "At risk"
    return "Dormant"
}

function write_customers(    file, keys, i, who) {
    file = main_place()
    print "customer_id,name,email,country,channel,orders,net_cents,days_since_last,recency,frequency,money,segment" > file
    for (i = 1; i <= buyers; i++) keys[i] = buyer[i]
    sort_by(keys, buyers, net)
    for (i = 1; i <= buyers; i++) {
        who = keys[i]
        print who "," quoted(name[who]) "," email[who] "," country[who] "," channel[who] "," orders[who] "," net[who] "," \
            days_ago[who] "," recency[who] "," frequency[who] "," money[who] "," segment[who] > file
    }
    close(file)
}

function write_segments(    file, i, who, part, size, sum, count, reachable, titles) {
    for (i = 1; i <= buyers; i++) {
        who = buyer[i]
        part = segment[who]
        size[part]++
        sum[part] += net[who]
        count[part] += orders[who]
        if (email[who] != "") reachable[part]++
    }
    file = place("segments.csv")
    print "segment,buyers,orders,net_cents,reachable" > file
    split("Champions,Loyal,Promising,New,At risk,Dormant", titles, ",")
    for (i = 1; i <= 6; i++) {
        part = titles[i]
        print part "," size[part] + 0 "," count[part] + 0 "," sum[part] + 0 "," reachable[part] + 0 > file
    }
    close(file)
}

# For each month of first orders: how many buyers, and how many of them ordered again n months later.
function write_cohorts(    file, i, j, who, count, month, first, newest, came, line, earliest) {
    newest = month_number(as_of)
    for (i = 1; i <= buyers; i++) {
        who = buyer[i]
        if (earliest == "" || first_month[who] < earliest) earliest = first_month[who]
        count = split(months[who], month, " ")
        for (j = 1; j <= count; j++) came[first_month[who], month[j] - first_month[who]]++
    }
    file = place("cohorts.csv")
    print "first_month,months_later,buyers" > file
    if (buyers) for (first = earliest; first <= newest; first++) {
        for (j = 0; first + j <= newest; j++) print month_name(first) "," j "," came[first, j] + 0 > file
    }
    close(file)
}

function write_countries(    file, i, who, land, lands, keys, size, sum) {
    for (i = 1; i <= buyers; i++) {
        who = buyer[i]
        land = country[who]
        if (!(land in size)) keys[++lands] = land
        size[land]++
        sum[land] += net[who]
    }
    sort_by(keys, lands, sum)
    file = place("countries.csv")
    print "country,buyers,net_cents" > file
    for (i = 1; i <= lands; i++) print keys[i] "," size[keys[i]] "," sum[keys[i]] > file
    close(file)
}
