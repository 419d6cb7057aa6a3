# Completion of oktasync for bash. The words come from `oktasync __complete`;
# nothing that was typed is run.

_oktasync() {
	local line=${COMP_LINE:0:COMP_POINT} breaks=${COMP_WORDBREAKS//[!@=:]/}
	local words=() last=-1 word prefix='' flag='' out directive candidate i
	# bash breaks words at @, = and : too. What stands together is one word.
	for ((i = 0; i <= COMP_CWORD; i++)); do
		if ((i == 0)) || [[ $line == [[:space:]]* ]]; then
			line=${line#"${line%%[![:space:]]*}"}
			words[++last]=''
		fi
		word=${COMP_WORDS[i]}
		((i == COMP_CWORD)) && word=$line
		line=${line#"$word"}
		words[last]+=$word
	done
	# Quotes and ~ mean what they mean to the shell. What would run or expand
	# something stays as it was typed.
	for ((i = 0; i <= last; i++)); do
		word=${words[i]}
		[[ $word == *[\$\`\;\|\&\<\>\(\)]* ]] || eval "words[i]=$word" 2>/dev/null || words[i]=$word
	done

	# Of the last word, what follows the last break is replaced, and an @ itself.
	word=${words[last]} breaks=${breaks:-$'\n'}
	case ${word##*["$breaks"]} in
	"$word") ;;
	*) prefix=${word%"${word##*["$breaks"]}"} prefix=${prefix%@} ;;
	esac
	[[ $word == -*=* ]] && flag=${word%%=*}= # of which the words know nothing

	out=$("${words[@]:0:1}" __completeNoDesc "${words[@]:1}" 2>/dev/null) || return
	directive=${out##*:} out=${out%:*}
	COMPREPLY=()
	while IFS= read -r candidate; do
		candidate=$flag$candidate
		[[ $candidate != "$flag" && $candidate == "$word"* ]] && COMPREPLY+=("${candidate#"$prefix"}")
	done <<<"$out"
	((directive & (8 | 16))) && COMPREPLY=() # those are no words
	{
		((directive & 2)) && compopt -o nospace
		((directive & 32)) && compopt -o nosort
		if ((directive & 16)); then
			compopt -o dirnames
		elif ! ((directive & 4)); then
			compopt -o default
		fi
	} 2>/dev/null # not every bash has all of them
}

complete -F _oktasync oktasync
