# Makes the example's data: the exports of a small household goods shop over a year, with their dirt.
#
#     awk -v dir=data -f scripts/generate.awk
#
# The same seed gives the same bytes in every awk: the numbers come from a small generator of our own, all
# arithmetic is on integers below 2^53, and no number is printed with a decimal point by the C library.

BEGIN {
    if (dir == "") dir = "data"
    if (seed == "") seed = 20261031
    state = seed % 2147483647
    if (state <= 0) state += 2147483646
    words()
    products()
    customers()
    orders()
    exit
}

# ---- numbers

# Returns a whole number from 0 to n - 1.
function below(n) {
    state = (state * 16807) % 2147483647
    return state % n
}

function chance(percent) {
    return below(1000) < percent * 10
}

# Returns a number from 0 to n - 1, the small ones more often.
function skewed(n,    a, b) {
    a = below(n)
    b = below(n)
    return a < b ? a : b
}

function cents(amount) {
    return int(amount / 100) "." sprintf("%02d", amount % 100)
}

function date(day,    month, rest) {
    # Days since 2025-01-01.
    rest = day
    for (month = 1; rest >= month_days[month]; month++) rest -= month_days[month]
    return (2025 + int((month - 1) / 12)) "-" sprintf("%02d", (month - 1) % 12 + 1) "-" sprintf("%02d", rest + 1)
}

# ---- words

function words(    i) {
    for (i = 1; i <= 24; i++) month_days[i] = 31
    month_days[2] = month_days[14] = 28
    month_days[4] = month_days[6] = month_days[9] = month_days[11] = 30
    month_days[16] = month_days[18] = month_days[21] = month_days[23] = 30

    categories = split("Kitchen Lighting Bedding Desk Garden Outdoor Bath Storage", category, " ")
    list("Kitchen", "Kettle|Skillet|Stock pot|Bread bin|Pepper mill", "matte black|copper|cream")
    list("Lighting", "Desk lamp|Pendant|Floor lamp|Wall light|Lantern", "brass|white|smoked glass")
    list("Bedding", "Linen sheet set|Wool blanket|Down pillow|Quilt|Mattress cover", "single|double|king")
    list("Desk", "Notebook|Pen tray|Monitor stand|Felt mat|Letter rack", "oak|walnut|grey")
    list("Garden", "Watering can|Trowel|Planter|Bird feeder|Hose reel", "green|zinc|terracotta")
    list("Outdoor", "Camp stove|Thermos|Hammock|Picnic rug|Rain cape", "small|medium|large")
    list("Bath", "Towel|Bath mat|Soap dish|Laundry basket|Mirror", "sand|slate|olive")
    list("Storage", "Crate|Shelf|Hook rail|Trunk|Jar set", "pine|wire|painted")
    base["Kitchen"] = 4200; base["Lighting"] = 7800; base["Bedding"] = 6900; base["Desk"] = 2600
    base["Garden"] = 2300; base["Outdoor"] = 5100; base["Bath"] = 2900; base["Storage"] = 3400

    given_names = split("Ada Ben Carla Dmitri Elif Farid Greta Hugo Ines Jonas Kaya Liam Mina Nadia Otto Priya " \
        "Quentin Rosa Sami Tessa Uma Viktor Wren Yara Zoe", given, " ")
    family_names = split("Abel Brandt Costa Dubois Engel Fischer Garcia Hansen Ito Jansen Keller Lopez Moreau " \
        "Novak Owens Petit Quinn Rossi Silva Tanaka Ueda Vogel Weber Young Zeman", family, " ")
    countries = split("US US US US DE DE DE GB GB FR FR NL CA", country, " ")
    split("USD EUR GBP", currency, " ")
    channels = split("search search referral social email", channel, " ")
}

function list(name, item_list, variant_list) {
    items[name] = item_list
    variants[name] = variant_list
}

# ---- tables

function products(    file, c, i, v, n, item, variant, price, cost, stock, sku, name, row, kind) {
    file = dir "/products.csv"
    print "sku,name,category,list_price,unit_cost,stock" > file
    for (c = 1; c <= categories; c++) {
        split(items[category[c]], item, "|")
        split(variants[category[c]], variant, "|")
        for (i = 1; i <= 5; i++) {
            price = int(base[category[c]] * (50 + below(110)) / 100 / 100) * 100 + 95
            for (v = 1; v <= 3; v++) {
                n++
                sku = toupper(substr(category[c], 1, 3)) "-" sprintf("%03d", n)
                product_sku[n] = sku
                product_price[n] = price + (v - 1) * int(price / 1000) * 100
                cost = int(product_price[n] * (38 + below(30)) / 100)
                stock = below(240)
                # Some go out of stock soon.
                if (chance(9)) stock = below(6)
                name = "\"" item[i] ", " variant[v] "\""
                kind = category[c]
                if (chance(3)) kind = ""
                if (chance(6)) kind = tolower(kind) " "
                row = sku "," name "," kind "," cents(product_price[n]) "," cents(cost) "," stock
                if (n == 47) row = sku "," name "," kind "," cents(product_price[n]) ",-1.00," stock
                if (n == 83) row = sku "," name "," kind "," cents(product_price[n])
                print row > file
                if (chance(3)) print row > file
            }
        }
    }
    product_count = n
    close(file)
}

function customers(    file, i, id, name, mail, land, joined, first, last, row, before) {
    file = dir "/customers.csv"
    print "customer_id,name,email,country,signed_up_on,channel" > file
    for (i = 1; i <= 600; i++) {
        id = "C" sprintf("%05d", 10000 + i * 7)
        first = given[1 + below(given_names)]
        last = family[1 + below(family_names)]
        name = first " " last
        mail = tolower(first "." last) i "@example." (chance(60) ? "com" : chance(50) ? "org" : "net")
        land = country[1 + below(countries)]
        customer_currency[i] = land == "GB" ? 3 : land == "US" || land == "CA" ? 1 : 2
        # Half of them were there before the year that the orders are from.
        joined = chance(45) ? below(304) : 304 + below(350)
        customer_id[i] = id
        customer_joined[i] = joined
        customer_left[i] = joined + (chance(35) ? 30 + below(240) : 1000)
        if (chance(4)) mail = ""
        else if (chance(2)) sub(/@/, " at ", mail)
        # Some signed up twice, with the address they had.
        else if (i > 20 && chance(2) && before != "") mail = toupper(before)
        if (land == "DE" && chance(20)) land = "Germany"
        if (land == "GB" && chance(35)) land = "UK"
        if (land == "US" && chance(15)) land = "usa"
        if (chance(5)) land = tolower(land)
        row = id "," name "," mail "," land "," date(joined) "," channel[1 + below(channels)]
        print row > file
        if (chance(2)) print row > file
        if (chance(1)) print id "," name > file
        if (mail ~ /^[a-z0-9.]+@/) before = mail
    }
    close(file)
}

# A few order before they sign up, or after they have left.
function absent(who, day) {
    return customer_joined[who] > day || customer_left[who] < day
}

function orders(    file, n, day, wanted, k, id, who, what, count, price, money, off, status, back, total, on, row) {
    file = dir "/orders.csv"
    print "order_id,customer_id,sku,ordered_on,quantity,unit_price,discount_percent,currency,status,refund" > file
    # From 2025-11-01 to 2026-10-31: growth, more at weekends, much more before Christmas.
    for (day = 304; day < 669; day++) {
        wanted = 5 + int((day - 304) / 85) + (day % 7 < 2 ? 3 : 0)
        if (day >= 320 && day < 354) wanted += 6
        if (day >= 354 && day < 380) wanted -= 3
        if (day >= 560 && day < 590) wanted -= 2
        wanted += below(4) - 1
        for (k = 0; k < wanted; k++) {
            n++
            id = "O" (100000 + n)
            do { who = 1 + skewed(600) } while (absent(who, day) && !chance(2))
            what = 1 + (skewed(product_count) * 37) % product_count
            count = chance(70) ? 1 : 1 + below(4)
            money = customer_currency[who]
            price = product_price[what]
            # Prices in the shops abroad are set by hand, near the rate.
            if (money == 2) price = int(price * 92 / 100 / 5) * 5
            if (money == 3) price = int(price * 79 / 100 / 5) * 5
            off = chance(18) ? 5 * (1 + below(5)) : 0
            total = int(price * count * (100 - off) / 100)
            status = "completed"
            back = 0
            if (chance(3)) status = "cancelled"
            else if (chance(5 + (what % 17 == 3 ? 22 : 0))) { status = "returned"; back = total }
            else if (chance(3)) { status = "refunded"; back = int(total * (20 + below(60)) / 100) }

            on = date(day)
            who = customer_id[who]
            what = product_sku[what]
            price = cents(price)
            count = count ""
            money = currency[money]
            # The dirt.
            if (chance(6)) on = substr(on, 9, 2) "/" substr(on, 6, 2) "/" substr(on, 1, 4)
            if (chance(4)) status = toupper(substr(status, 1, 1)) substr(status, 2) " "
            if (chance(3)) money = tolower(money)
            if (chance(1)) { sub(/\./, ",", price); price = "\"" price "\"" }
            if (chance(0.6)) count = "0"
            else if (chance(0.4)) count = "two"
            if (chance(0.5)) on = "2026-02-30"
            if (chance(0.5)) money = ""
            if (chance(0.6)) who = "C99" sprintf("%03d", below(1000))
            if (chance(0.6)) what = "OLD-" sprintf("%03d", below(100))
            row = id "," who "," what "," on "," count "," price "," off "," money "," status "," (back ? cents(back) : "")
            if (chance(0.5)) row = id "," who "," what
            print row > file
            # The export repeats rows where its pages meet.
            if (chance(1.5)) print row > file
        }
    }
    close(file)
}
